# One image for everything: a static binary, and nothing else that could run. `docker build .` for this machine's
# kind of processor; `docker buildx build --platform linux/amd64,linux/arm64 .` for both.
#
# No `# syntax=` line: the front end that is built into BuildKit knows all that is used here, and needs no network.
ARG RUST_IMAGE=rust:1.95-slim-bookworm

# What the image is, whoever made the binary.
FROM scratch AS runtime
# Owned by the user, so that a volume that is mounted there for the first time is too.
COPY --chown=65532:65532 deploy/image/ /
COPY LICENSE-APACHE LICENSE-MIT /
USER 65532:65532
# 7000: calls. 9100: metrics, health, the control API.
EXPOSE 7000 9100
# Health is asked by `pumphandle healthcheck`, where there is something to ask: docker-compose.yml. An image that also
# runs single commands has no health of its own.
ENTRYPOINT ["/pumphandle"]
CMD ["--help"]

# For builders without BuildKit, and for CI: the binary that somebody built already lies in the context. See
# tests/compose/run.sh. A plain build never comes here.
FROM runtime AS prebuilt
COPY pumphandle /pumphandle

# The compiler runs on the machine's own kind of processor and writes for the one that is asked for.
FROM --platform=$BUILDPLATFORM ${RUST_IMAGE} AS build
ARG TARGETARCH
WORKDIR /src
COPY . .
# With an explicit target, since static linking is for the binary and not for what the compiler loads.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=pumphandle-target-${TARGETARCH},target=/src/target \
    set -eu; \
    case "$TARGETARCH" in \
      amd64) target=x86_64-unknown-linux-gnu ;; \
      arm64) target=aarch64-unknown-linux-gnu ;; \
      *) echo "no image for $TARGETARCH: amd64 or arm64"; exit 1 ;; \
    esac; \
    if ! rustc -vV | grep -qx "host: $target"; then \
      rustup target add "$target"; \
      gnu="${target%%-*}-linux-gnu"; \
      apt-get update -qq; \
      apt-get install -y -qq --no-install-recommends "gcc-$(echo "$gnu" | tr _ -)" "libc6-dev-$TARGETARCH-cross"; \
      export "CARGO_TARGET_$(echo "$target" | tr a-z- A-Z_)_LINKER=$gnu-gcc"; \
    fi; \
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --target "$target" -p pumphandle; \
    mkdir /out; \
    cp "target/$target/release/pumphandle" /out/

FROM runtime AS image
COPY --from=build /out/pumphandle /pumphandle
