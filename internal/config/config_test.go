package config_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/countersign/countersign/internal/config"
)

type database struct {
	DSN      string `config:"dsn,required" doc:"Where the database is."`
	MaxConns int    `config:"max_conns" doc:"How many connections."`
}

type peer struct {
	Name string        `config:"name,required" doc:"The name."`
	Wait time.Duration `config:"wait" doc:"How long to wait."`
}

type settings struct {
	Database   database          `config:"database" doc:"The database."`
	Listen     []string          `config:"listen" doc:"Addresses to listen on."`
	Proxies    []netip.Prefix    `config:"proxies" doc:"Trusted proxies."`
	Secure     bool              `config:"secure" doc:"Behind https."`
	Share      float64           `config:"share" doc:"A share."`
	Grace      time.Duration     `config:"grace" doc:"Time to finish."`
	Passphrase config.Secret     `config:"passphrase_file" doc:"The passphrase."`
	Dir        config.Path       `config:"dir" doc:"A folder."`
	Peers      []peer            `config:"peers" doc:"The peers."`
	Labels     map[string]string `config:"labels" doc:"Labels."`
}

func (s *settings) Validate() error {
	if s.Share > 1 {
		return errors.New("share is above 1")
	}
	return nil
}

func file(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFileAndEnvironmentFillTheStruct(t *testing.T) {
	path := file(t, "gateway.yaml", `
database:
  dsn: "sqlite:x.db"
listen: [":1", ":2"]
proxies: ["10.0.0.0/8"]
grace: 90s
passphrase_file: pass
dir: data
peers:
  - name: a
    wait: 1m
  - {name: b}
labels: {one: "1"}
`, 0o644)
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "pass"), []byte("top secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := settings{Database: database{MaxConns: 4}, Share: 0.5}
	err := config.Load(config.Source{File: path, Role: "gateway", Environ: []string{
		"HOME=/", "COUNTERSIGN_GATEWAY_DATABASE_DSN=postgres://x", "COUNTERSIGN_GATEWAY_LISTEN=:3, :4", "COUNTERSIGN_GATEWAY_SECURE=true",
		"COUNTERSIGN_DEVICE=/dev/1", "COUNTERSIGN_GATEWAY_SHARE=0.25", "COUNTERSIGN_LISTEN=:5", "COUNTERSIGN_PKI_LISTEN=:6",
		"COUNTERSIGN_GATEWAY=nothing", "COUNTERSIGN_PORTAL_NO_SUCH=1",
	}}, &got)
	if err != nil {
		t.Fatal(err)
	}
	want := settings{
		Database: database{DSN: "postgres://x", MaxConns: 4}, Listen: []string{":3", ":4"},
		Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Secure: true, Share: 0.25, Grace: 90 * time.Second,
		Dir: config.Path(filepath.Join(filepath.Dir(path), "data")), Peers: []peer{{"a", time.Minute}, {"b", 0}}, Labels: map[string]string{"one": "1"},
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreTypes(config.Secret{}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Errorf("settings (-want +got):\n%s", d)
	}
	if s := string(got.Passphrase.Bytes()); s != "top secret" {
		t.Errorf("secret %q", s)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for _, c := range []struct {
		name, yaml string
		env        []string
		want       []string
	}{
		{"unknown key", "database: {dsn: x}\nlisen: []", nil, []string{"gateway.yaml", `unknown key "lisen"`, "listen"}},
		{"unknown key below", "database: {dsn: x, maxconns: 3}", nil, []string{`"database.maxconns"`, "max_conns"}},
		{"unknown key in a list", "database: {dsn: x}\npeers: [{name: a, url: b}]", nil, []string{`"peers[0].url"`}},
		{"several at once", "a: 1\nb: 2", nil, []string{`"a"`, `"b"`}},
		{"missing", "listen: []", nil, []string{"database.dsn is missing", "Where the database is."}},
		{"missing in a list", "database: {dsn: x}\npeers: [{wait: 1s}]", nil, []string{"peers[0].name is missing"}},
		{"text for a number", `database: {dsn: x, max_conns: "3"}`, nil, []string{"database.max_conns", "want a number, not text"}},
		{"fraction for a whole number", `database: {dsn: x, max_conns: 1.5}`, nil, []string{"database.max_conns", "whole number"}},
		{"number for text", "database: {dsn: 5}", nil, []string{"database.dsn", "want text, not a number"}},
		{"text for a list", "database: {dsn: x}\nlisten: a", nil, []string{"listen", "want a list"}},
		{"list for settings", "database: []", nil, []string{"database", "dsn"}},
		{"time without a unit", "database: {dsn: x}\ngrace: 90", nil, []string{"grace", "90s"}},
		{"negative time", "database: {dsn: x}\ngrace: -1s", nil, []string{"grace"}},
		{"word for a boolean", "database: {dsn: x}\nsecure: maybe", nil, []string{"secure", "true or false"}},
		{"bad prefix", "database: {dsn: x}\nproxies: [\"10.0.0.0/99\"]", nil, []string{"proxies[0]"}},
		{"duplicate key", "database: {dsn: x}\nlisten: []\nlisten: []", nil, []string{"gateway.yaml", "listen"}},
		{"no YAML", "database: [", nil, []string{"gateway.yaml"}},
		{"no secret file", "database: {dsn: x}\npassphrase_file: /nowhere", nil, []string{"passphrase_file", "/nowhere"}},
		{"the last word", "database: {dsn: x}\nshare: 2", nil, []string{"gateway.yaml", "share is above 1"}},
		{"unknown variable", "database: {dsn: x}", []string{"COUNTERSIGN_GATEWAY_LISEN=x"}, []string{"COUNTERSIGN_GATEWAY_LISEN"}},
		{"wrong variable", "database: {dsn: x}", []string{"COUNTERSIGN_GATEWAY_DATABASE_MAX_CONNS=many"}, []string{"COUNTERSIGN_GATEWAY_DATABASE_MAX_CONNS", "whole number"}},
		{"list in a variable", "database: {dsn: x}", []string{"COUNTERSIGN_GATEWAY_PEERS=x"}, []string{"COUNTERSIGN_GATEWAY_PEERS"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := config.Load(config.Source{File: file(t, "gateway.yaml", c.yaml, 0o644), Role: "gateway", Environ: c.env}, &settings{})
			if err == nil {
				t.Fatal("taken")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
}

func TestAnEnvironmentIsSomebodys(t *testing.T) {
	err := config.Load(config.Source{Environ: []string{"COUNTERSIGN__LISTEN=:1"}}, &settings{})
	if err == nil || !strings.Contains(err.Error(), "Role") {
		t.Errorf("variables of nobody: %v", err)
	}
	if got := config.Prefix("sam"); got != "COUNTERSIGN_SAM_" {
		t.Errorf("prefix %s", got)
	}
}

func TestSecretOfEverybodyIsRefused(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
		mode             os.FileMode
	}{
		{"readable by all", "x", "chmod o=", 0o644},
		{"writable by all", "x", "chmod o=", 0o602},
		{"empty", "\n", "is empty", 0o600},
		{"huge", strings.Repeat("x", 70_000), "larger", 0o600},
	} {
		path := file(t, "secret", c.text, c.mode)
		err := config.Load(config.Source{Role: "gateway", Environ: []string{"COUNTERSIGN_GATEWAY_DATABASE_DSN=x", "COUNTERSIGN_GATEWAY_PASSPHRASE_FILE=" + path}}, &settings{})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	path := file(t, "secret", "of the group\r\n", 0o640)
	var got settings
	err := config.Load(config.Source{Role: "gateway", Environ: []string{"COUNTERSIGN_GATEWAY_DATABASE_DSN=x", "COUNTERSIGN_GATEWAY_PASSPHRASE_FILE=" + path}}, &got)
	if err != nil || string(got.Passphrase.Bytes()) != "of the group" {
		t.Errorf("%q, %v", got.Passphrase.Bytes(), err)
	}
}

func TestSecretDoesNotShow(t *testing.T) {
	s := struct{ S config.Secret }{config.NewSecret([]byte("hunter2"))}
	var b strings.Builder
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "secret", s.S, "in", s)
	text, err := s.S.MarshalText()
	for _, out := range []string{fmt.Sprint(s), fmt.Sprintf("%+v %#v %s %x %q", s, s, s.S, s.S, s.S), b.String(), string(text)} {
		if strings.Contains(out, "hunter2") || strings.Contains(out, fmt.Sprintf("%x", "hunter2")) || strings.Contains(out, "104 117") {
			t.Errorf("the secret shows: %s", out)
		}
	}
	if err != nil || !s.S.Given() || (config.Secret{}).Given() {
		t.Error("Given is wrong")
	}
}

// The reference is a file that can be used: with the required settings filled in
// it loads, also with every comment sign before a setting taken away.
func TestReferenceLoadsAsItStands(t *testing.T) {
	defaults := settings{Listen: []string{":8080"}, Grace: time.Minute, Share: 0.5, Database: database{MaxConns: 7}}
	var b strings.Builder
	if err := config.Reference(&b, "gateway", &defaults); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{
		"# Where the database is.", "required", "COUNTERSIGN_GATEWAY_DATABASE_MAX_CONNS", `# listen: [":8080"]`, "# grace: 1m0s",
		"  # max_conns: 7", "name: The name. (text; required)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the reference:\n%s", want, text)
		}
	}
	text = strings.Replace(text, `dsn: ""`, `dsn: "sqlite:x"`, 1)
	open := strings.NewReplacer("# listen:", "listen:", "# grace:", "grace:", "# share:", "share:", "  # max_conns:", "  max_conns:", "# peers:", "peers:", "# labels:", "labels:").Replace(text)
	for _, text := range []string{text, open} {
		got := defaults
		if err := config.Load(config.Source{File: file(t, "r.yaml", text, 0o644)}, &got); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
		if got.Database.DSN != "sqlite:x" || got.Grace != time.Minute || got.Database.MaxConns != 7 || len(got.Listen) != 1 {
			t.Errorf("loaded %+v", got)
		}
	}
}

func TestStructsWithoutDocumentationAreRefused(t *testing.T) {
	for _, into := range []any{
		settings{},
		&struct {
			A string `doc:"x"`
		}{},
		&struct {
			A string `config:"a"`
		}{},
		&struct {
			A string `config:"a,optional" doc:"x"`
		}{},
		&struct {
			A chan int `config:"a" doc:"x"`
		}{},
		&struct {
			A config.Secret `config:"a" doc:"x"`
		}{},
		&struct {
			A struct {
				B string `config:"b_c" doc:"x"`
			} `config:"a" doc:"x"`
			D string `config:"a_b_c" doc:"x"`
		}{},
	} {
		if err := config.Load(config.Source{}, into); err == nil || !strings.Contains(err.Error(), "config:") {
			t.Errorf("%T: %v", into, err)
		}
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte("database: {dsn: x}\npeers: [{name: a, wait: 1s}]\nlabels: {a: b}"))
	f.Add([]byte("database: &a {dsn: x}\nlisten: [*a]\n1: 2"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "f.yaml")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		var s settings
		if err := config.Load(config.Source{File: path}, &s); err == nil && s.Share > 1 {
			t.Error("settings that do not validate were taken")
		}
	})
}
