//! tickwire-emitter
