//! tickwire-standalone
