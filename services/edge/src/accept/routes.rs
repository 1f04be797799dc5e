//! Where a request wants to go.

use std::collections::BTreeMap;

/// An endpoint of PROTOCOL "Edge".
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route<'a> {
    /// `/ws`, or `/ws/{area}`.
    WebSocket { area: Option<&'a str> },
    /// `/ws/status`.
    Status,
    /// `/sse`.
    Sse,
    /// `/poll`.
    Poll,
    /// `/healthz`: the process runs.
    Health,
    /// `/readyz`: it should get clients.
    Ready,
    /// `/metrics`.
    Metrics,
}

impl<'a> Route<'a> {
    /// The endpoint at `path`; `areas` are those of the configuration.
    pub(super) fn find<T>(path: &'a str, areas: &BTreeMap<String, T>) -> Option<Self> {
        Some(match path {
            "/ws" => Self::WebSocket { area: None },
            "/ws/status" => Self::Status,
            "/sse" => Self::Sse,
            "/poll" => Self::Poll,
            "/healthz" => Self::Health,
            "/readyz" => Self::Ready,
            "/metrics" => Self::Metrics,
            _ => {
                let area = path.strip_prefix("/ws/")?;
                areas.contains_key(area).then_some(Self::WebSocket { area: Some(area) })?
            }
        })
    }

    /// Whether a page of another origin may use it (and so must pass the origin rule, and gets CORS headers).
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Sse | Self::Poll)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_those_of_the_configuration_and_status_is_none() {
        let areas = BTreeMap::from([("trading".to_owned(), "prices")]);
        assert_eq!(Route::find("/ws/trading", &areas), Some(Route::WebSocket { area: Some("trading") }));
        assert_eq!(Route::find("/ws/status", &areas), Some(Route::Status));
        for unknown in ["", "/", "/ws/", "/ws/other", "/ws/trading/", "/wsx", "/sse/", "//", "/../healthz"] {
            assert_eq!(Route::find(unknown, &areas), None, "{unknown}");
        }
    }
}
