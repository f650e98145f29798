package demo

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/countersign/countersign/cmd/countersign/sockets"
)

// layout is where things lie in the demo's folder, and the addresses of its parts.
type layout struct {
	dir    string
	ports  Ports
	issuer string
	tls    *tlsFiles // for an issuer with https
	// databases are those of roles that do not keep theirs in the folder.
	databases map[string]string
	hsm       *hsm // for the activation module's keys, or nil
	peered    bool // there is a list of peers
	// organisation is the name of the installation, if it is not the first.
	organisation string
}

func (l *layout) path(elem ...string) string {
	return filepath.Join(append([]string{l.dir}, elem...)...)
}
func (l *layout) sockets() sockets.Dir { return sockets.Dir(l.path("run")) }
func (l *layout) portal() string {
	return "http://portal.localhost:" + strconv.Itoa(l.ports.Portal)
}

func (l *layout) approval() string {
	return "http://approve.localhost:" + strconv.Itoa(l.ports.Approval)
}
func (l *layout) pki() string      { return "http://127.0.0.1:" + strconv.Itoa(l.ports.PKI) }
func (l *layout) csc() string      { return l.issuer + "/csc/v2" }
func (l *layout) redirect() string { return l.portal() + "/callback" }

// ErrIssuer says that a demo cannot have the issuer that was asked for.
var ErrIssuer = errors.New("a demo can have the issuer https://localhost:PORT; port 0 takes a free one")

// parseIssuer returns the port that an issuer demands, 0 for any.
func parseIssuer(issuer string) (port int, https bool, err error) {
	if issuer == "" {
		return 0, false, nil
	}
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" || u.Hostname() != "localhost" || u.Path != "" || u.RawQuery != "" {
		return 0, false, fmt.Errorf("%q: %w", issuer, ErrIssuer)
	}
	port, err = strconv.Atoi(u.Port())
	if err != nil || port < 0 || port > 65535 {
		return 0, false, fmt.Errorf("%q: %w", issuer, ErrIssuer)
	}
	return port, true, nil
}

// setting is one line of a configuration file.
type setting struct {
	name  string
	value any // string, bool, int, []string, or []setting
}

// name is the name of the installation.
func (l *layout) name() string {
	if l.organisation != "" {
		return l.organisation
	}
	return "Countersign Demo"
}

// configs are the files of the four roles, by folder.
func (l *layout) configs() map[string][]setting {
	door := func(port int, admin string, more ...setting) setting {
		return setting{"door", append([]setting{
			{"listen", "127.0.0.1:" + strconv.Itoa(port)},
			{"admin_socket", l.path("run", admin)},
		}, more...)}
	}
	database := func(role string) setting {
		if dsn := l.databases[role]; dsn != "" {
			return setting{"database", dsn}
		}
		return setting{"database", "sqlite:" + l.path(role, role+".db")}
	}
	var https []setting
	if l.tls != nil {
		https = []setting{{"certificate", l.tls.Cert}, {"key", l.tls.Key}}
	}
	return map[string][]setting{
		"pki": {
			door(l.ports.PKI, sockets.PKIAdmin),
			{"base_url", l.pki()},
			database("pki"),
			{"keys", l.path("pki", "keys")},
			{"passphrase_file", l.path("pki", "passphrase")},
			{"name", l.name()},
			{"rate", 1000},
			{"burst", 4000},
		},
		"sam": {
			door(l.ports.Approval, sockets.SAMAdmin),
			{"approval_url", l.approval()},
			database("sam"),
			{"socket", l.path("run", sockets.SAM)},
			{"anchors", []string{l.path("ca.pem")}},
			{"organisation", l.name()},
			{"test", true},
			{"approval_rate", 500},
			{"approval_burst", 1000}, // one address is everybody here
		},
		"gateway": {
			door(l.ports.Gateway, sockets.GatewayAdmin, https...),
			{"issuer", l.issuer},
			{"name", l.name()},
			database("gateway"),
			{"secret_file", l.path("gateway", "secret")},
			{"sam_socket", l.path("run", sockets.SAM)},
			{"tsa", l.pki() + "/tsa"},
			{"evidence_loopback", true},
			l.peerSettings(),
			{"rate", 500},
			{"burst", 2000},
		},
		"portal": {
			door(l.ports.Portal, sockets.PortalAdmin),
			{"url", l.portal()},
			database("portal"),
			{"organisation", l.name()},
			{"test", true},
			{"gateway", l.issuer},
			{"approval", l.approval()},
			{"pki", l.pki()},
			{"rate", 500},
			{"burst", 2000},
			l.signing(),
			l.workflow(),
		},
	}
}

// writeConfigs writes the configuration of every role and makes the secrets that
// are not there yet.
func (l *layout) writeConfigs() error {
	if err := os.MkdirAll(l.path("run"), 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(l.path("log"), 0o700); err != nil {
		return err
	}
	configs := l.configs()
	configs["sam"] = append(configs["sam"], l.keysOf()...)
	for role, settings := range configs {
		if err := os.MkdirAll(l.path(role), 0o700); err != nil {
			return err
		}
		if err := writeFile(l.path(role, "config.yaml"), []byte(yaml(settings, ""))); err != nil {
			return err
		}
	}
	for _, name := range []string{"pki/passphrase", "sam/passphrase", "gateway/secret", "portal/secret", "portal/sender-password"} {
		if name == "sam/passphrase" && l.hsm != nil {
			continue // the token has a PIN
		}
		if err := ensure(l.path(name), randomHex); err != nil {
			return err
		}
	}
	if err := ensure(l.senderSecond(), randomSecond); err != nil {
		return err
	}
	return ensure(l.path("pin"), randomPIN)
}

// yaml writes settings so that every text is quoted.
func yaml(settings []setting, indent string) string {
	var b strings.Builder
	for _, s := range settings {
		b.WriteString(indent + s.name + ":")
		switch v := s.value.(type) {
		case []setting:
			b.WriteString("\n" + yaml(v, indent+"  "))
			continue
		case []string:
			for _, e := range v {
				b.WriteString("\n" + indent + "  - " + strconv.Quote(e))
			}
		case string:
			b.WriteString(" " + strconv.Quote(v))
		default:
			fmt.Fprintf(&b, " %v", v)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// ensure writes a file with a made value unless it is there.
func ensure(name string, value func() (string, error)) error {
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	v, err := value()
	if err != nil {
		return err
	}
	return writeFile(name, []byte(v+"\n"))
}

func randomHex() (string, error) {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	return hex.EncodeToString(b[:]), nil
}

func randomPIN() (string, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%06d", n), nil
}
