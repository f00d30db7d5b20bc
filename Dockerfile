# syntax=docker/dockerfile:1
ARG BUILD_IMAGE=rust:1.95-bookworm
ARG RUN_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /build

# The dependencies first, with an empty program: this layer is built again only when Cargo.toml or Cargo.lock change.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src \
 && echo 'fn main() {}' > src/main.rs \
 && touch src/lib.rs \
 && cargo build --release --locked --bin apicredential-operator \
 && rm -r src

# `touch`, because cargo compares times, and a checkout may be older than the layer above.
COPY src src
RUN find src -name '*.rs' -exec touch {} + \
 && cargo build --release --locked --bin apicredential-operator

FROM ${RUN_IMAGE}
COPY --from=build /build/target/release/apicredential-operator /apicredential-operator
# The number and not the name, so that `runAsNonRoot` can tell.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/apicredential-operator"]
CMD ["run"]
