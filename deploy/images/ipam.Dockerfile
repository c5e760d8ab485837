# ipam: owner of the pool, the checkpoint and the Kubernetes API; no capability.
# Context: the root of the repository. BASE needs Python >= 3.11; BUILDER the same Python with pip.
# Nothing here names an architecture: build it on, or with an emulator for, the one that is wanted.
ARG BASE=python:3.11-slim-bookworm
ARG BUILDER=${BASE}

FROM ${BUILDER} AS build
# Bytecode that does not look at its source's time: layers have no times, and the root is read-only at run time.
COPY deploy/images/requirements/ipam.txt /tmp/requirements.txt
RUN python3 -m pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: --no-compile --root-user-action=ignore --target /opt/vpccni/lib -r /tmp/requirements.txt
RUN python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/vpccni/lib
COPY proto/src/ services/kit/src/ services/ipam/src/ deploy/install/src/ deploy/cli/src/ /opt/vpccni/app/
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/vpccni/app

FROM ${BASE}
COPY --from=build /opt/vpccni/lib /opt/vpccni/lib
COPY --from=build /opt/vpccni/app /opt/vpccni/app
ENV PYTHONPATH=/opt/vpccni/app:/opt/vpccni/lib PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# kubectl -n kube-system exec ds/aws-node -c ipam -- vpccni status
RUN mkdir -p /usr/local/bin && printf '#!/bin/sh\nexec python3 -m vpccni_cli "$@"\n' > /usr/local/bin/vpccni && chmod 755 /usr/local/bin/vpccni
# Fails here rather than on a node when BASE lacks something.
RUN python3 -c 'import vpccni_ipam.__main__' && vpccni explain IAM_DENIED > /dev/null
# Root without any capability: ipam.sock and the checkpoint are root only, on a host path.
USER 0:0
# Writes the conflist when the first address is usable, then is ipam itself (exec: no process stays beside it).
ENTRYPOINT ["python3", "-m", "vpccni_install", "run", "--", "python3", "-m", "vpccni_ipam"]
