# eni-manager: owner of AWS, the only holder of credentials; no capability.
# Context: the root of the repository. BASE needs Python >= 3.11; BUILDER the same Python with pip.
# Nothing here names an architecture: build it on, or with an emulator for, the one that is wanted.
ARG BASE=python:3.11-slim-bookworm
ARG BUILDER=${BASE}

FROM ${BUILDER} AS build
# Bytecode that does not look at its source's time: layers have no times, and the root is read-only at run time.
COPY deploy/images/requirements/eni-manager.txt /tmp/requirements.txt
# Of botocore's 400 service models only these four are ever loaded.
RUN python3 -m pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: --no-compile --root-user-action=ignore --target /opt/vpccni/lib -r /tmp/requirements.txt \
 && cd /opt/vpccni/lib/botocore/data && for model in */; do case "$model" in ec2/|sts/|sso/|sso-oidc/) ;; *) set -- "$@" "$model" ;; esac; done && rm -r "$@"
RUN python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/vpccni/lib
COPY proto/src/ services/kit/src/ services/eni-manager/src/ /opt/vpccni/app/
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/vpccni/app

FROM ${BASE}
COPY --from=build /opt/vpccni/lib /opt/vpccni/lib
COPY --from=build /opt/vpccni/app /opt/vpccni/app
ENV PYTHONPATH=/opt/vpccni/app:/opt/vpccni/lib PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Fails here rather than on a node when BASE lacks something.
RUN python3 -c 'import vpccni_eni_manager.__main__'
# The part of the EC2 model that is used, so that no node has to cut it out of the whole (13 MB of memory each).
RUN python3 -m vpccni_eni_manager.adapters.ec2_model "$(python3 -c 'import sys; print(sys.prefix)')/share/vpccni/ec2-model"
# Root without any capability: the journal (host path, root only) and the socket (0600) belong to root.
USER 0:0
ENTRYPOINT ["python3", "-m", "vpccni_eni_manager"]
