//! Traces over HTTP from a thread that is no runtime's: requests are made on the exporter's own runtime.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::runtime::Handle;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct HttpSender {
    client: reqwest::Client,
    runtime: Handle,
}

impl HttpSender {
    pub(crate) fn new(runtime: Handle) -> Self {
        Self { client: reqwest::Client::new(), runtime }
    }
}

#[async_trait]
impl HttpClient for HttpSender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let answer = client.execute(request.try_into()?).await?;
            let mut response = Response::builder().status(answer.status());
            if let Some(headers) = response.headers_mut() {
                *headers = answer.headers().clone();
            }
            Ok(response.body(answer.bytes().await?)?)
        });
        sent.await?
    }
}
