//! The description of the API. Each operation is described where it is routed, so neither can be without the other.

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, Content, HttpMethod, Info, OpenApi, OpenApiBuilder, PathItem, Paths, Ref, RefOr, Required,
        Response,
        path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        schema::{Object, Schema, SchemaType, Type},
        security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

use super::refusal::ErrorBody;

const SCHEME: &str = "bearer";

const DESCRIPTION: &str = "\
Publishes to Tickwire. A 2xx means that the backplane has the message.

**Callers** send `Authorization: Bearer` with a token whose roles hold `service`, or with an API key.

**Bodies** are JSON or MessagePack, as `Content-Type` says; answers have the same form. Unknown fields are refused. Prices and \
quantities are decimal strings (numbers are accepted) and are published as strings with the digits that were sent.

**Idempotency.** The same `Idempotency-Key` header (or `idempotencyKey` field, which goes first) within 5 minutes gets the first \
answer again, with `duplicate: true`, and publishes nothing. A key belongs to its channel and, for typed events, to their kind. After a \
503 repeat the request under the same key.

**Age.** A `timestamp` more than 60 s from now is refused (`stale_message`).

**Signatures.** `signature` is HMAC-SHA256, in hex, under the shared secret, over these bytes: the channel, a line feed, the \
`timestamp` in decimal digits, a line feed, and the text of `data` exactly as it stands in the body (of a MessagePack body: its rendering as compact \
JSON, keys in the order sent). A signature that does not verify is refused (`bad_signature`).

**Escalation.** `escalateAfterMs` sets an alert's deadline. Unacknowledged after it, its status is `escalated` and the webhook of `escalation.url` is \
called with an `EscalationBody`, again and again until it answers 2xx or `escalation.attempts_max` or `age_max_s` is reached. It is called at least \
once for each alert: `Idempotency-Key` is the alert's id, so that a receiver can tell repetitions. `Tickwire-Signature` is HMAC-SHA256, in hex, under \
`escalation.secret`, over these bytes: the `Idempotency-Key`, a line feed, the `Tickwire-Timestamp` (milliseconds, decimal digits), a line feed, and the body. \
A receiver refuses timestamps that are minutes old. Redirects are not followed.

**Preferences.** A notification, also one that a typed event makes, passes its user's preferences when it is made. What they mute is neither stored nor \
delivered; what reaches the inbox carries `\"presentation\":{\"sound\",\"toast\"}`, both false where it is to be silent. Level `emergency` (`alertLevel`, beside `type` \
or in `data`; an emergency stop) is always shown, `critical` never muted. Without `alertLevel` the level follows from the priority: critical is `critical`, \
high `warning`, else `info`.

**Errors** are `{\"error\":{\"code\",\"message\",\"retryable\"}}`; 429 and 503 carry `Retry-After`.";

/// An operation being described.
pub(super) struct Described {
    operation: OperationBuilder,
    schemas: Vec<(String, RefOr<Schema>)>,
}

/// `summary`, under `tag`.
pub(super) fn describe(tag: &str, summary: &str) -> Described {
    let operation = OperationBuilder::new().tag(tag).summary(Some(summary));
    Described { operation, schemas: Vec::new() }
}

impl Described {
    /// Needs a token or key, and can fail as every such operation can.
    pub(super) fn guarded(mut self) -> Self {
        let none: [String; 0] = [];
        self.operation = self.operation.security(SecurityRequirement::new(SCHEME, none));
        let error = self.refer::<ErrorBody>();
        for (status, meaning) in [
            ("400", "bad_request, stale_message or bad_signature"),
            ("401", "unauthenticated or token_expired"),
            ("403", "forbidden"),
            ("413", "too_large"),
            ("429", "rate_limited or limit_exceeded"),
            ("503", "unavailable: nothing is promised; repeat under the same idempotency key"),
        ] {
            let mut response = Response::new(meaning);
            response.content.insert("application/json".into(), Content::new(Some(error.clone())).into());
            self.operation = self.operation.response(status, response);
        }
        self
    }

    pub(super) fn body<T: ToSchema>(mut self) -> Self {
        let schema = self.refer::<T>();
        let body = RequestBodyBuilder::new()
            .required(Some(Required::True))
            .content("application/json", Content::new(Some(schema.clone())))
            .content("application/msgpack", Content::new(Some(schema)))
            .build();
        self.operation = self.operation.request_body(Some(body)).parameter(
            ParameterBuilder::new()
                .name("Idempotency-Key")
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .schema(Some(Object::with_type(Type::String))),
        );
        self
    }

    pub(super) fn answers<T: ToSchema>(mut self) -> Self {
        let schema = self.refer::<T>();
        let mut response = Response::new("done");
        response.content.insert("application/json".into(), Content::new(Some(schema)).into());
        self.operation = self.operation.response("200", response);
        self
    }

    /// Answers something that is described in words.
    pub(super) fn answers_text(mut self, content_type: &str, meaning: &str) -> Self {
        let mut response = Response::new(meaning);
        response.content.insert(content_type.into(), Content::new(None::<RefOr<Schema>>).into());
        self.operation = self.operation.response("200", response);
        self
    }

    pub(super) fn in_path(self, name: &str) -> Self {
        self.parameter(name, ParameterIn::Path, Type::String)
    }

    pub(super) fn in_query(self, name: &str, kind: Type) -> Self {
        self.parameter(name, ParameterIn::Query, kind)
    }

    fn parameter(mut self, name: &str, place: ParameterIn, kind: Type) -> Self {
        let required = if place == ParameterIn::Path { Required::True } else { Required::False };
        self.operation = self.operation.parameter(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(place)
                .required(required)
                .schema(Some(Object::with_type(SchemaType::Type(kind)))),
        );
        self
    }

    fn refer<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let name = T::name().into_owned();
        self.schemas.push((name.clone(), <T as PartialSchema>::schema()));
        T::schemas(&mut self.schemas);
        RefOr::Ref(Ref::from_schema_name(name))
    }
}

/// The document, growing.
pub(super) struct Document {
    paths: Paths,
    components: Components,
}

impl Document {
    pub(super) fn new() -> Self {
        let mut components = Components::new();
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme(SCHEME, scheme);
        Self { paths: Paths::new(), components }
    }

    pub(super) fn add(&mut self, method: HttpMethod, path: &str, described: Described) {
        self.components.schemas.extend(described.schemas);
        let operation: Operation = described.operation.build();
        let item = PathItem::new(method, operation);
        match self.paths.paths.get_mut(path) {
            Some(known) => known.merge_operations(item),
            None => drop(self.paths.paths.insert(path.to_owned(), item)),
        }
    }

    pub(super) fn finish(self) -> OpenApi {
        let mut info = Info::new("Tickwire emitter", env!("CARGO_PKG_VERSION"));
        info.description = Some(DESCRIPTION.to_owned());
        OpenApiBuilder::new().info(info).paths(self.paths).components(Some(self.components)).build()
    }
}
