//! tickwire-client
