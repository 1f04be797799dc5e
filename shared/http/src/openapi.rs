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

use crate::ErrorBody;

const SCHEME: &str = "bearer";

/// An operation being described.
pub struct Described {
    operation: OperationBuilder,
    schemas: Vec<(String, RefOr<Schema>)>,
}

/// `summary`, under `tag`.
pub fn describe(tag: &str, summary: &str) -> Described {
    let operation = OperationBuilder::new().tag(tag).summary(Some(summary));
    Described { operation, schemas: Vec::new() }
}

impl Described {
    #[must_use]
    /// Needs a token or key, and can fail as every such operation can.
    pub fn guarded(mut self) -> Self {
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

    /// Takes a `T`, and the header `Idempotency-Key`.
    #[must_use]
    pub fn body<T: ToSchema>(mut self) -> Self {
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

    /// Describes a form that the body takes without naming it.
    #[must_use]
    pub fn with_schema<T: ToSchema>(mut self) -> Self {
        let _reference = self.refer::<T>();
        self
    }

    /// Answers a `T`.
    #[must_use]
    pub fn answers<T: ToSchema>(mut self) -> Self {
        let schema = self.refer::<T>();
        let mut response = Response::new("done");
        response.content.insert("application/json".into(), Content::new(Some(schema)).into());
        self.operation = self.operation.response("200", response);
        self
    }

    #[must_use]
    /// Answers something that is described in words.
    pub fn answers_text(mut self, content_type: &str, meaning: &str) -> Self {
        let mut response = Response::new(meaning);
        response.content.insert(content_type.into(), Content::new(None::<RefOr<Schema>>).into());
        self.operation = self.operation.response("200", response);
        self
    }

    /// A segment of the path.
    #[must_use]
    pub fn in_path(self, name: &str) -> Self {
        self.parameter(name, ParameterIn::Path, Type::String)
    }

    /// A parameter of the query.
    #[must_use]
    pub fn in_query(self, name: &str, kind: Type) -> Self {
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
pub struct Document {
    paths: Paths,
    components: Components,
}

impl Default for Document {
    fn default() -> Self {
        Self::new()
    }
}

impl Document {
    /// An empty one.
    pub fn new() -> Self {
        let mut components = Components::new();
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme(SCHEME, scheme);
        Self { paths: Paths::new(), components }
    }

    /// Adds an operation.
    pub fn add(&mut self, method: HttpMethod, path: &str, described: Described) {
        self.components.schemas.extend(described.schemas);
        let operation: Operation = described.operation.build();
        let item = PathItem::new(method, operation);
        match self.paths.paths.get_mut(path) {
            Some(known) => known.merge_operations(item),
            None => drop(self.paths.paths.insert(path.to_owned(), item)),
        }
    }

    /// The whole, with the service's title and what holds for all of it.
    pub fn finish(self, title: &str, description: &str) -> OpenApi {
        let mut info = Info::new(title, env!("CARGO_PKG_VERSION"));
        info.description = Some(description.to_owned());
        OpenApiBuilder::new().info(info).paths(self.paths).components(Some(self.components)).build()
    }
}
