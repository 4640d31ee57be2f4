#!/bin/sh
# Makes the passwords and keys of compose.yaml in the folder `secrets` beside it, once; what is there stays.
# The folder is its owner's alone; the files in it can be read by the containers, which run under other users.
set -eu
cd "$(dirname "$0")"
folder=secrets
if [ -d "$folder" ]; then
    echo "$folder is there already; remove it (and the volumes of the run) to make new ones"
    exit 0
fi
umask 077

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d' ' -f1; }
digest() { printf %s "$1" | sha256; }

draft=$(mktemp -d "./$folder.XXXXXX")
trap 'rm -rf "$draft"' EXIT
sink=$(random)
reader=$(random)
key=corredor_$(random)
printf %s "http://corredor:$sink@clickhouse:8123/corredor" >"$draft/clickhouse_sink"
printf %s "http://reader:$reader@clickhouse:8123/corredor" >"$draft/clickhouse_reader"
printf %s "$reader" >"$draft/clickhouse_reader_password"
random >"$draft/console_password"
random >"$draft/grafana_password"
printf %s "$key" >"$draft/collect_key"
cat >"$draft/collect_keys.yaml" <<END
keys:
  - name: first
    sha256: "$(digest "$key")"
    sources: ["/*"]
    tenants: [default]
END
# The sink makes tables, roles and row policies; the reader reads our database and nothing else.
cat >"$draft/clickhouse_users.xml" <<END
<clickhouse>
    <users>
        <corredor>
            <password_sha256_hex>$(digest "$sink")</password_sha256_hex>
            <networks><ip>::/0</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <access_management>1</access_management>
        </corredor>
        <reader>
            <password_sha256_hex>$(digest "$reader")</password_sha256_hex>
            <networks><ip>::/0</ip></networks>
            <profile>default</profile>
            <quota>default</quota>
            <grants>
                <query>GRANT SELECT, dictGet ON corredor.*</query>
            </grants>
        </reader>
    </users>
</clickhouse>
END
chmod 0444 "$draft"/*
mv "$draft" "$folder"
trap - EXIT
echo "made $folder; console: secrets/console_password, Grafana: secrets/grafana_password, collector: secrets/collect_key"
