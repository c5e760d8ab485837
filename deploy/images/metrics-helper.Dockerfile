# cni-metrics-helper: adds up the nodes' metrics. No capability, no privilege, not root.
# Context: the root of the repository. BASE needs Python >= 3.11; BUILDER the same Python with pip.
ARG BASE=python:3.11-slim-bookworm
ARG BUILDER=${BASE}

FROM ${BUILDER} AS build
COPY deploy/images/requirements/metrics-helper.txt /tmp/requirements.txt
# Of botocore's service models only these are ever loaded.
RUN python3 -m pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: --no-compile --root-user-action=ignore --target /opt/vpccni/lib -r /tmp/requirements.txt \
 && cd /opt/vpccni/lib/botocore/data && for model in */; do case "$model" in cloudwatch/|sts/|sso/|sso-oidc/) ;; *) set -- "$@" "$model" ;; esac; done && rm -r "$@"
RUN python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/vpccni/lib
COPY proto/src/ services/kit/src/ services/metrics-helper/src/ /opt/vpccni/app/
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/vpccni/app

FROM ${BASE}
COPY --from=build /opt/vpccni/lib /opt/vpccni/lib
COPY --from=build /opt/vpccni/app /opt/vpccni/app
ENV PYTHONPATH=/opt/vpccni/app:/opt/vpccni/lib PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN python3 -c 'import vpccni_metrics_helper.__main__, vpccni_metrics_helper.adapters.cloudwatch'
USER 65534:65534
ENTRYPOINT ["python3", "-m", "vpccni_metrics_helper"]
