#!/bin/sh
# Install the relay as a service, or bring it up to date; run it as root from the repository.
#
#   sudo deploy/relay/install.sh
#
# Nothing but /opt/relay-server, /etc/relay-server.env, two units and /usr/local/bin/relay-server,
# which knows the service's store, is written.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    { echo "install: Python 3.11 or newer is needed; name it: PYTHON=python3.12" >&2; exit 1; }
"$python" -c 'import ensurepip' 2>/dev/null ||
    { echo "install: Python lacks venv: apt install python3-venv" >&2; exit 1; }
[ -d /run/systemd/system ] ||
    { echo "install: there is no systemd here; see deploy/README.md" >&2; exit 1; }
new=/opt/relay-server.new
rm -rf "$new"
"$python" -m venv "$new"
"$new/bin/pip" install -q --disable-pip-version-check --require-hashes --no-deps \
    -r "$here/deploy/relay/requirements.lock"
PYTHON="$python" "$here/tools/build-wheel" "$new/wheel"
"$new/bin/pip" install -q --disable-pip-version-check --no-index --no-deps "$new"/wheel/*.whl
rm -rf "$new/wheel"
# A venv knows its own path in its scripts' first lines.
sed -i "1s|$new|/opt/relay-server|" "$new"/bin/relay-server "$new"/bin/pip*
rm -rf /opt/relay-server.old
[ ! -d /opt/relay-server ] || mv /opt/relay-server /opt/relay-server.old
mv "$new" /opt/relay-server
[ -e /etc/relay-server.env ] || install -m 0640 "$here/deploy/relay/relay-server.env" /etc/
install -m 0644 "$here/deploy/relay/relay-server.service" "$here/deploy/relay/relay-server.socket" \
    /etc/systemd/system/
cat > /usr/local/bin/relay-server <<'END'
#!/bin/sh
# The service's store, as /etc/relay-server.env names it, unless another is named.
if [ -z "${RELAY_DB-}${RELAY_STORE-}" ]; then
    RELAY_DB=/var/lib/relay-server/relay.sqlite RELAY_ENV_FILE=/etc/relay-server.env
    export RELAY_DB RELAY_ENV_FILE
fi
exec /opt/relay-server/bin/relay-server "$@"
END
chmod 0755 /usr/local/bin/relay-server
systemctl daemon-reload
systemctl enable -q relay-server.socket relay-server.service
if systemctl -q is-active relay-server.service; then
    systemctl reload relay-server.service
else
    systemctl start relay-server.socket relay-server.service
fi
echo "install: the relay runs on 127.0.0.1:8080; now put a proxy in front (deploy/README.md)"
