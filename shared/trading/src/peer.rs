//! Calls of another service's API.

use std::time::Duration;

use reqwest::{Method, StatusCode, header};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// One call takes at most this.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Another service. Cloning shares its connections.
#[derive(Debug, Clone)]
pub struct Peer {
    http: reqwest::Client,
    url: String,
}

/// Why a call of another service did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// No answer, or one that was cut short. Whether the call took effect is unknown: repeat it under its key.
    #[error("the service does not answer")]
    Http(#[from] reqwest::Error),
    /// It refused.
    #[error("the service refused: {status} {code}: {message}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The code in its error body; empty where something else than a service answered.
        code: String,
        /// For people.
        message: String,
    },
    /// It answered something that this version does not understand.
    #[error("the service's answer is not understood")]
    Unexpected(#[source] serde_json::Error),
}

impl PeerError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Http(_) => true,
            Self::Refused { status, .. } => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::Unexpected(_) => false,
        }
    }

    /// The status of a refusal.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: Fields,
}

#[derive(Deserialize)]
struct Fields {
    code: String,
    message: String,
}

impl Peer {
    /// The service at `url`, to which `key` is shown.
    pub fn new(url: &str, key: &str) -> Result<Self, reqwest::Error> {
        let mut headers = header::HeaderMap::new();
        if let Ok(mut bearer) = header::HeaderValue::from_str(&format!("Bearer {key}")) {
            bearer.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, bearer);
        }
        let http = reqwest::Client::builder()
            .default_headers(headers)
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { http, url: url.trim_end_matches('/').to_owned() })
    }

    /// `GET path`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, PeerError> {
        self.call(self.http.request(Method::GET, format!("{}{path}", self.url))).await
    }

    /// `POST path` under an idempotency key.
    pub async fn post<B: Serialize + Sync + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        key: &str,
        body: &B,
    ) -> Result<T, PeerError> {
        let request = self.http.request(Method::POST, format!("{}{path}", self.url));
        self.call(request.header("idempotency-key", key).json(body)).await
    }

    async fn call<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, PeerError> {
        let response = request.send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(PeerError::Unexpected);
        }
        let (code, message) = match serde_json::from_slice::<Refusal>(&body) {
            Ok(Refusal { error }) => (error.code, error.message),
            Err(_) => (String::new(), String::new()),
        };
        Err(PeerError::Refused { status, code, message })
    }
}
