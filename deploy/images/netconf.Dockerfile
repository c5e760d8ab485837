# netconf: owner of the kernel state; NET_ADMIN, NET_RAW and SYS_ADMIN (setns) are all it is given.
# Context: the root of the repository. BASE needs Python >= 3.11 and iptables + nftables (installed when they are missing); BUILDER the same Python with pip.
# Nothing here names an architecture: build it on, or with an emulator for, the one that is wanted.
ARG BASE=python:3.11-slim-bookworm
ARG BUILDER=${BASE}

FROM ${BUILDER} AS build
# Bytecode that does not look at its source's time: layers have no times, and the root is read-only at run time.
COPY deploy/images/requirements/netconf.txt /tmp/requirements.txt
RUN python3 -m pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: --no-compile --root-user-action=ignore --target /opt/vpccni/lib -r /tmp/requirements.txt
RUN python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/vpccni/lib
COPY proto/src/ services/kit/src/ services/netconf/src/ /opt/vpccni/app/
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /opt/vpccni/app

FROM ${BASE}
# The base that `make images` builds has them; a stock Python image has not.
RUN { command -v iptables-restore && command -v nft; } >/dev/null 2>&1 || { \
 apt-get update && apt-get install -y --no-install-recommends iptables nftables && rm -rf /var/lib/apt/lists/*; }
COPY --from=build /opt/vpccni/lib /opt/vpccni/lib
COPY --from=build /opt/vpccni/app /opt/vpccni/app
ENV PYTHONPATH=/opt/vpccni/app:/opt/vpccni/lib PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# Fails here rather than on a node when BASE lacks something.
RUN python3 -c 'import vpccni_netconf.__main__'
USER 0:0
ENTRYPOINT ["python3", "-m", "vpccni_netconf"]
