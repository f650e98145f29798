package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const configurationPage = "../../docs/configuration.md"

// TestTheConfigurationPageIsWhatTheProgramsSay keeps the page true. UPDATE=1 writes it.
func TestTheConfigurationPageIsWhatTheProgramsSay(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Configuration\n\nThis page is made from the programs: `--print-config` prints the same. A file has what differs from the defaults;\n" +
		"variables of the environment win over it. Each role has a prefix of its own for them (`COUNTERSIGN_GATEWAY_`, `COUNTERSIGN_PKI_`,\n" +
		"`COUNTERSIGN_PORTAL_`, `COUNTERSIGN_SAM_`), under which an unknown name is refused; variables of commands and clients, as\n" +
		"`COUNTERSIGN_ISSUER`, are no settings of a role. Files of secrets may be read by their owner only.\n")
	for _, role := range []struct{ title, program, args string }{
		{"gateway", "countersign", "serve gateway"},
		{"pki", "countersign", "serve pki"},
		{"portal", "countersign", "serve portal"},
		{"sam", "countersign-sam", ""},
	} {
		out, err := exec.CommandContext(t.Context(), filepath.Join(programs, role.program), append(strings.Fields(role.args), "--print-config")...).Output()
		if err != nil {
			t.Fatal(err)
		}
		command := strings.TrimSpace(role.program + " " + role.args)
		b.WriteString("\n## " + role.title + "\n\n`" + command + " --config FILE`\n\n```yaml\n" + strings.TrimSpace(string(out)) + "\n```\n")
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(configurationPage, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(configurationPage)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(page), b.String()); d != "" {
		t.Errorf("%s is out of date; UPDATE=1 go test -run Configuration ./cmd/countersign writes it\n%s", configurationPage, d)
	}
}
