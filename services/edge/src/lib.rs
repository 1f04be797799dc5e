//! tickwire-edge
