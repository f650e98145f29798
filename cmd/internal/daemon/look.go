package daemon

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign/cmd/internal/local"
	"github.com/countersign/countersign/internal/web"
)

// look runs the checks in the order of their names.
func look(ctx context.Context, checks web.Checks) []local.Check {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out := []local.Check{}
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		out = append(out, local.Looked(name, checks[name](ctx)))
	}
	return out
}

// TLS loads a certificate and its key; without either it is plain HTTP.
func TLS(cert, key string) (*tls.Config, error) {
	if cert == "" && key == "" {
		return nil, nil //nolint:nilnil // no configuration is a valid answer: plain HTTP
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("certificate for https: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// Secret reads a secret of one line from a file that others cannot read.
func Secret(name string) ([]byte, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others: chmod 600 it", name)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	line := strings.TrimRight(string(b), "\r\n")
	if line == "" {
		return nil, fmt.Errorf("%s is empty", name)
	}
	return []byte(line), nil
}
