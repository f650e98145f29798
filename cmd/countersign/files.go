package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// loadAnchors reads the certificates of PEM files.
func loadAnchors(files []string) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for _, name := range files {
		rest, err := os.ReadFile(name)
		if err != nil {
			return nil, withCode(exitLocal, fmt.Errorf("read trust anchors: %w", err))
		}
		found := false
		for {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			if block.Type != "CERTIFICATE" {
				continue
			}
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, withCode(exitLocal, fmt.Errorf("read trust anchors: %s: %w", name, err))
			}
			out, found = append(out, c), true
		}
		if !found {
			return nil, withCode(exitLocal, fmt.Errorf("%s holds no PEM certificate to trust", name))
		}
	}
	return out, nil
}

// password returns the function that documents ask for their password: the
// file's first line if one is named, else the terminal.
func password(ctx context.Context, t terminal, file string) func() ([]byte, error) {
	return func() ([]byte, error) {
		if file != "" {
			b, err := os.ReadFile(file)
			if err != nil {
				return nil, withCode(exitLocal, fmt.Errorf("read the password file: %w", err))
			}
			line, _, _ := bytes.Cut(b, []byte("\n"))
			return bytes.TrimSuffix(line, []byte("\r")), nil
		}
		p, err := t.askSecret(ctx, "Password of the document: ")
		if errors.Is(err, errNoTerminal) {
			return nil, nil // the reader then says that none fits
		}
		return p, err
	}
}
