# syntax=docker/dockerfile:1
ARG BUILD_IMAGE=rust:1.95-bookworm
ARG RUN_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /build

# The dependencies first, with empty crates: this layer is built again only when a Cargo.toml or Cargo.lock changes.
# The plugin is not built; its manifest is here because cargo reads every member of the workspace.
COPY Cargo.toml Cargo.lock ./
COPY crates/apicredential/Cargo.toml crates/apicredential/
COPY crates/kubectl-apicredential/Cargo.toml crates/kubectl-apicredential/
RUN mkdir src crates/apicredential/src crates/kubectl-apicredential/src \
 && echo 'fn main() {}' > src/main.rs \
 && cp src/main.rs crates/kubectl-apicredential/src/main.rs \
 && touch src/lib.rs crates/apicredential/src/lib.rs \
 && cargo build --release --locked --package apicredential-operator --bin apicredential-operator \
 && rm -r src crates/apicredential/src

# `touch`, because cargo compares times, and a checkout may be older than the layer above.
COPY crates/apicredential/src crates/apicredential/src
COPY src src
RUN find src crates -name '*.rs' -exec touch {} + \
 && cargo build --release --locked --package apicredential-operator --bin apicredential-operator

FROM ${RUN_IMAGE}
COPY --from=build /build/target/release/apicredential-operator /apicredential-operator
# The number and not the name, so that `runAsNonRoot` can tell.
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/apicredential-operator"]
CMD ["run"]
