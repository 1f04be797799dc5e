//! tickwire-telemetry
