# The production image: the service without its sandbox, no shell, no root, nothing to write to.
#
# Decisions
# - Not built in this project's tests, which run where there is no container engine. What they do
#   show is that the same build compiles (`tests/run`: "the production build, without the sandbox").
#   Build it once where you have an engine before you rely on it.
# - `--no-default-features` leaves out the sandbox, the demo shop and `cloakroom dev`.
# - Builder and runtime are of the same Debian release, because the binary links its C library.
#   AWS-LC and SQLite are compiled in; the builder's C compiler is all they need.
# - The final image is empty but for the binary, the four shared objects it links, and the trust
#   anchors: no shell, no package manager. Tags move: pin the builder by digest in your own registry.
# - No HEALTHCHECK: a probe inside the image would need a client in it. Ask /livez and /readyz on
#   the ops plane from outside, over TLS.
# - The ports are those of `cloakroom dev`; the configuration decides. In a container the ops plane
#   must listen on a non-loopback address to be reached, so publish it on the host's loopback only.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /build
COPY . .
RUN cargo build --profile dist --locked --no-default-features --bin cloakroom \
 && apt-get update && apt-get install -y --no-install-recommends ca-certificates \
 && mkdir -p /image/etc/ssl/certs /state/var/lib/cloakroom \
 && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
 && ldd target/dist/cloakroom | grep -o '/[^ ]*' | xargs -I{} cp --parents -L {} /image/

FROM scratch
COPY --from=build /image/ /
# A new volume takes this directory's owner.
COPY --from=build --chown=65532:65532 /state/ /
COPY --from=build /build/target/dist/cloakroom /usr/local/bin/cloakroom
COPY LICENSE /usr/share/doc/cloakroom/LICENSE
# Configuration and keys are mounted here, owned by this user and with mode 600: key files that
# others can read are refused.
WORKDIR /etc/cloakroom
USER 65532:65532
EXPOSE 8443 8444 8445
# SIGTERM starts the graceful stop; give it longer than `limits.shutdown_timeout_s` (30 s).
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/cloakroom"]
CMD ["serve", "--config", "/etc/cloakroom/cloakroom.toml"]
