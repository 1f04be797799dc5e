//! tickwire-auth
