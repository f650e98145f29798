#!/bin/bash
# install.sh: sets up the four roles on this machine, a Debian 12, as in production:
# a user and a database for each, TLS, PostgreSQL. It may be run again: what is there
# stays. Needs root.
#
#   install.sh --host HOST --org NAME [options]
#
#   --host HOST           the parts become sign.HOST, approve.HOST, portal.HOST (https) and pki.HOST (http);
#                         with HOST localhost, pki is 127.0.0.1
#   --org NAME            who runs it, shown on every page and in certificates
#   --package FILE.deb    installs this package first
#   --database KIND       postgres (default; installs it if missing) or sqlite
#   --tls DIR             certificates: DIR/{sign,approve,portal}.{pem,key}, chains with the leaf first
#   --dev-ca              makes certificates with an authority of its own instead: for trying out only
#   --ports G,A,P,K       ports of gateway, approval origin, portal and pki (default 8443,8444,8445,8080)
#   --without-systemd     starts the services' commands under their users itself: for containers and trials
set -euo pipefail
host= org= package= database=postgres tls= dev= systemd=1 ports=8443,8444,8445,8080
usage() { sed -n '2,17s/^# \{0,1\}//p' "$0" >&2; exit 2; }
while (($#)); do
  case $1 in
    --host) host=${2:?}; shift ;;
    --org) org=${2:?}; shift ;;
    --package) package=${2:?}; shift ;;
    --database) database=${2:?}; shift ;;
    --tls) tls=${2:?}; shift ;;
    --dev-ca) dev=1 ;;
    --ports) ports=${2:?}; shift ;;
    --without-systemd) systemd= ;;
    *) usage ;;
  esac
  shift
done
say() { printf '%s\n' "$*"; }
die() { printf 'install: %s\n' "$2" >&2; exit "$1"; }
[[ $host && $org ]] || usage
[[ $database == postgres || $database == sqlite ]] || usage
[[ $tls || $dev ]] || die 2 "name the folder with the certificates with --tls, or have some made for a trial with --dev-ca"
[[ ! $tls || ! $dev ]] || die 2 "give --tls or --dev-ca, not both"
[[ $org != *[\"\\]* && $host =~ ^[a-z0-9.-]+$ ]] || die 2 "the organisation without quotation marks, please, and the host in small letters"
[[ $EUID == 0 ]] || die 5 "this needs root: it makes users and writes to /etc"
IFS=, read -r gport aport pport kport <<<"$ports"
[[ ${kport:-} ]] || usage
etc=/etc/countersign secrets=/etc/countersign/secrets
export DEBIAN_FRONTEND=noninteractive

need() { # package command: installs the package if the command is missing
  command -v "$2" >/dev/null && return
  say "installing $1 ..."
  [[ ${updated:-} ]] || { apt-get update -qq; updated=1; }
  apt-get install -y -qq --no-install-recommends "$1" >/dev/null || die 5 "cannot install $1: install it and run this again"
}

say "1. programs and users"
need openssl openssl
need systemd systemd-sysusers # for users and folders; it need not run
if [[ $package ]]; then
  [[ -f $package ]] || die 3 "$package is not there"
  dpkg -i "$package" >/dev/null || die 5 "the package could not be installed: dpkg -i $package says why"
fi
command -v countersign >/dev/null || die 5 "the package countersign is not installed: name it with --package FILE.deb"
systemd-sysusers countersign.conf
systemd-tmpfiles --create countersign.conf || true
[[ ! $systemd || -d /run/systemd/system ]] || die 5 "systemd does not run here; with --without-systemd the services are started without it"

keep() { # file owner: reads the file's content unless it is there; a file without content is not
  if [[ -s $1 ]]; then cat >/dev/null; return; fi
  rm -f "$1.new"; (umask 077; cat >"$1.new")
  [[ -s $1.new ]] || { rm -f "$1.new"; die 4 "there is nothing to put into $1"; }
  chown "$2:$2" "$1.new"; mv "$1.new" "$1"
}
for role in pki sam gateway portal; do
  # Root's own: where a role could put links, root would write through them.
  install -d -m 711 -o root -g root "$secrets/$role"
done
openssl rand -hex 32 | keep "$secrets/pki/passphrase" countersign-pki
openssl rand -hex 32 | keep "$secrets/sam/passphrase" countersign-sam
openssl rand -hex 32 | keep "$secrets/gateway/secret" countersign-gateway

say "2. databases ($database)"
dsn() {
  if [[ $database == sqlite ]]; then echo "sqlite:/var/lib/countersign/$1/$1.db"; else echo "postgres:///countersign-$1?host=/var/run/postgresql&user=countersign-$1"; fi
}
if [[ $database == postgres ]]; then
  need postgresql pg_lsclusters
  [[ $(pg_lsclusters -h) == *online* ]] || { pg_lsclusters -h | while read -r v c _; do pg_ctlcluster "$v" "$c" start; done; }
  for role in pki sam gateway portal; do
    # The role's user of the machine is its user in the database: there are no passwords.
    asks="SELECT 1 FROM pg_roles WHERE rolname = 'countersign-$role'"
    [[ $(cd / && setpriv --reuid=postgres --regid=postgres --init-groups psql -qtAc "$asks") ]] ||
      (cd / && setpriv --reuid=postgres --regid=postgres --init-groups createuser "countersign-$role")
    [[ $(cd / && setpriv --reuid=postgres --regid=postgres --init-groups psql -qtAc "SELECT 1 FROM pg_database WHERE datname = 'countersign-$role'") ]] ||
      (cd / && setpriv --reuid=postgres --regid=postgres --init-groups createdb -O "countersign-$role" -E UTF8 -T template0 "countersign-$role")
    (cd / && setpriv --reuid=postgres --regid=postgres --init-groups psql -qc "REVOKE CONNECT ON DATABASE \"countersign-$role\" FROM PUBLIC" )
  done
fi

say "3. certificates of the web addresses"
install -d -m 755 "$etc/tls"
if [[ $dev && ! -e $etc/tls/ca.pem ]]; then
  (umask 077; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj "/CN=$org development CA" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -keyout "$etc/tls/ca.key" -out "$etc/tls/ca.pem" 2>/dev/null)
  chmod 644 "$etc/tls/ca.pem"
fi
certificate() { # name role
  if [[ $tls ]]; then
    for kind in pem key; do [[ -f $tls/$1.$kind ]] || die 3 "$tls/$1.$kind is not there"; done
    install -m 644 "$tls/$1.pem" "$etc/tls/$1.pem"
    install -m 600 -o "countersign-$2" -g "countersign-$2" "$tls/$1.key" "$etc/tls/$1.key"
    return
  fi
  [[ ! -e $etc/tls/$1.pem ]] || return 0
  (umask 077; openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1.$host" -keyout "$etc/tls/$1.key" -out "$etc/tls/$1.csr" 2>/dev/null)
  openssl x509 -req -in "$etc/tls/$1.csr" -CA "$etc/tls/ca.pem" -CAkey "$etc/tls/ca.key" -days 80 -out "$etc/tls/$1.pem" 2>/dev/null \
    -extfile <(printf 'subjectAltName=DNS:%s.%s\nextendedKeyUsage=serverAuth\nbasicConstraints=critical,CA:FALSE\n' "$1" "$host")
  rm "$etc/tls/$1.csr"; chmod 644 "$etc/tls/$1.pem"; chown "countersign-$2:countersign-$2" "$etc/tls/$1.key"
}
certificate sign gateway; certificate approve sam; certificate portal portal

say "4. configuration in $etc"
listen=0.0.0.0 pkihost=pki.$host test=false
if [[ $host == localhost ]]; then listen=127.0.0.1 pkihost=127.0.0.1; fi
[[ $dev ]] && test=true
issuer=https://sign.$host:$gport approval=https://approve.$host:$aport portal=https://portal.$host:$pport pki=http://$pkihost:$kport
config() { # role: reads its configuration unless it is there
  if [[ -e $etc/$1.yaml ]]; then cat >/dev/null; say "   $etc/$1.yaml is kept"; return; fi
  cat >"$etc/$1.yaml.new"; chmod 644 "$etc/$1.yaml.new"; mv "$etc/$1.yaml.new" "$etc/$1.yaml"
}
door() { # role port certificate
  printf 'door:\n  listen: "%s:%s"\n  admin_socket: /run/countersign-%s/%s-admin.sock\n' "$listen" "$2" "$1" "$1"
  [[ ! ${3:-} ]] || printf '  certificate: %s/tls/%s.pem\n  key: %s/tls/%s.key\n' "$etc" "$3" "$etc" "$3"
}
config pki <<END
$(door pki "$kport")
base_url: $pki
database: "$(dsn pki)"
keys: /var/lib/countersign/pki/keys
passphrase_file: $secrets/pki/passphrase
name: "$org"
END
config sam <<END
$(door sam "$aport" approve)
approval_url: $approval
database: "$(dsn sam)"
keys: /var/lib/countersign/sam/keys
passphrase_file: $secrets/sam/passphrase
socket: /run/countersign-sam/sam.sock
# The gateway, and root, who brings the orders of the registration authority.
gateway_uids: [$(id -u countersign-gateway), 0]
anchors: [$etc/ca.pem]
organisation: "$org"
test: $test
END
config gateway <<END
$(door gateway "$gport" sign)
issuer: $issuer
name: "$org"
database: "$(dsn gateway)"
secret_file: $secrets/gateway/secret
sam_socket: /run/countersign-sam/sam.sock
tsa: $pki/tsa
evidence_hosts: [$pkihost]
evidence_loopback: $([[ $host == localhost ]] && echo true || echo false)
END
config portal <<END
$(door portal "$pport" portal)
url: $portal
database: "$(dsn portal)"
organisation: "$org"
test: $test
signing:
  csc: $issuer/csc/v2
  client_id: portal
  client_secret_file: $secrets/portal/client-secret
  anchors: [$etc/ca.pem]
$([[ $dev ]] && printf '  tls_ca: %s/tls/ca.pem\n' "$etc")
END

say "5. services"
start() { # role
  if [[ $systemd ]]; then
    systemctl enable -q --now "countersign-$1"
    return
  fi
  # The unit's own command, under its own user, in its own folders.
  local unit=/usr/lib/systemd/system/countersign-$1.service user group more command pid=/run/countersign-$1.pid
  user=$(sed -n 's/^User=//p' "$unit") group=$(sed -n 's/^Group=//p' "$unit") more=$(sed -n 's/^SupplementaryGroups=//p' "$unit")
  command=$(sed -n 's/^ExecStart=//p' "$unit")
  if [[ -e $pid ]] && kill -0 "$(<"$pid")" 2>/dev/null; then return; fi
  install -d -m 755 /var/lib/countersign
  install -d -m "$(sed -n 's/^StateDirectoryMode=//p' "$unit")" -o "$user" -g "$group" "/var/lib/countersign/$1"
  install -d -m "$(sed -n 's/^RuntimeDirectoryMode=//p' "$unit")" -o "$user" -g "$group" "/run/countersign-$1"
  (umask 077; cd /; ulimit -c 0
   # shellcheck disable=SC2086 # a command line is several words
   nohup setpriv --reuid="$user" --regid="$group" --groups="$group${more:+,$more}" --no-new-privs --inh-caps=-all \
     env -i PATH=/usr/bin:/bin $command </dev/null >>"/var/log/countersign-$1.log" 2>&1 & echo $! >"$pid")
}
ready() { # role socket
  for _ in $(seq 150); do
    # doctor's own answer is no as long as one of the roles is missing.
    [[ $(countersign doctor --json 2>/dev/null | grep "\"role\":\"$1\"") == *'"ready":true'* ]] && return
    sleep 0.2
  done
  say "$1 is not ready:" >&2; countersign doctor >&2 || true
  [[ $systemd ]] || tail -n 5 "/var/log/countersign-$1.log" >&2
  die 4 "its log says why ($([[ $systemd ]] && echo "journalctl -u countersign-$1" || echo "/var/log/countersign-$1.log"))"
}
start pki; ready pki
if [[ ! -e $etc/ca.pem ]]; then # what signers' certificates chain up to
  exec 3<>"/dev/tcp/127.0.0.1/$kport"
  printf 'GET /anchors.pem HTTP/1.0\r\nHost: %s\r\n\r\n' "$pkihost" >&3
  sed -n '/-----BEGIN/,/-----END/p' <&3 >"$etc/ca.pem.new"
  exec 3>&-
  grep -q BEGIN "$etc/ca.pem.new" || die 4 "the pki did not give its root"
  chmod 644 "$etc/ca.pem.new"; mv "$etc/ca.pem.new" "$etc/ca.pem"
fi
start sam; ready sam
start gateway; ready gateway

say "6. who trusts whom"
[[ -e $etc/ra.pem ]] || countersign admin ra-key "$etc/ra.pem" >/dev/null
countersign admin register-ra --key "$etc/ra.pem" --name registry >/dev/null
countersign admin register-module >/dev/null
countersign admin register-gateway --issuer "$issuer" >/dev/null
if [[ ! -s $secrets/portal/client-secret ]]; then
  countersign admin client --id portal --name "$org" --new-secret --redirect "$portal/direct/return" --redirect "$portal/callback" |
    keep "$secrets/portal/client-secret" countersign-portal
fi
start portal; ready portal
[[ -e $etc/audit.key ]] || countersign audit key >"$etc/audit.key"

cat <<END

It runs. countersign doctor says how it is.
  gateway          $issuer
  approval origin  $approval   (its TLS may be ended by nobody else)
  portal           $portal
  pki              $pki
Keep $etc/ra.pem where your registration authority works, and $etc/audit.key with your auditors.
$([[ $dev ]] && echo "The web certificates are from a development authority ($etc/tls/ca.pem): for trying out only.")
The signers' keys are in software: advanced signatures at most. The operator guide says how to use an HSM.
END
