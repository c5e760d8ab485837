# init: sysctls of the node, the CNI plugin and the reference plugins to the host; also what cleans a node up.
# Context: the root of the repository. BASE needs Python >= 3.11. PLUGIN and REFERENCE say where the binaries come from:
#   plugin-build / reference-debian (the default): made and fetched here, BUILDER must have apt or already hold the tools
#   plugin-given / reference-given: build/aws-cni, and build/images/cni-plugins/, as `make images` leaves them
ARG BASE=python:3.11-slim-bookworm
ARG BUILDER=debian:bookworm-slim
ARG PLUGIN=plugin-build
ARG REFERENCE=reference-debian

FROM ${BUILDER} AS plugin-build
RUN { command -v gcc && test -e /usr/include/python3.11/Python.h; } >/dev/null 2>&1 || { \
 apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev python3 libpython3.11-dev; }
COPY plugin/ /src/plugin/
COPY proto/ /src/proto/
RUN cd /src && PYTHONPATH=proto/src:plugin/src python3 plugin/build.py && mkdir -p /plugins && cp build/aws-cni /plugins/

FROM scratch AS plugin-given
COPY build/aws-cni /plugins/aws-cni

FROM ${BUILDER} AS reference-debian
RUN test -x /usr/lib/cni/loopback || { apt-get update && apt-get install -y --no-install-recommends containernetworking-plugins; }
RUN mkdir -p /plugins && cp /usr/lib/cni/* /plugins/

FROM scratch AS reference-given
COPY build/images/cni-plugins/ /plugins/

FROM ${PLUGIN} AS plugin
FROM ${REFERENCE} AS reference

FROM ${BASE} AS build
COPY proto/src/ services/kit/src/ deploy/install/src/ /opt/vpccni/app/
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/vpccni/app

FROM ${BASE}
COPY --from=reference /plugins/ /opt/vpccni/plugins/
COPY --from=plugin /plugins/aws-cni /opt/vpccni/plugins/aws-cni
COPY --from=build /opt/vpccni/app /opt/vpccni/app
ENV PYTHONPATH=/opt/vpccni/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 0:0
ENTRYPOINT ["python3", "-m", "vpccni_install"]
CMD ["init"]
