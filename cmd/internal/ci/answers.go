package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/countersign/countersign/cmd/internal/ci/record"
)

// features writes features.json from the last complete records of this state.
func features(ctx context.Context, table, out string, w, errw io.Writer) error {
	rows, tests, err := answerable(ctx, table, "feature", errw)
	if err != nil {
		return err
	}
	answers := record.Features(rows, tests)
	proven := 0
	for _, a := range answers {
		if a.Proven {
			proven++
			fmt.Fprintf(w, "proven  %s  %s\n", a.ID, a.Tests)
		} else if len(a.Tests) > 0 {
			fmt.Fprintf(w, "claimed, not proven  %s  %s\n", a.ID, a.Tests)
		}
	}
	if err := writeJSON(out, answers); err != nil {
		return err
	}
	fmt.Fprintf(w, "%d of %d features proven, %s\n", proven, len(answers), out)
	return nil
}

// controls writes controls.json from the last complete records of this state.
func controls(ctx context.Context, table, out string, w, errw io.Writer) error {
	rows, tests, err := answerable(ctx, table, "control", errw)
	if err != nil {
		return err
	}
	answers := record.Controls(rows, tests)
	count := map[string]int{}
	for _, a := range answers {
		count[a.State]++
		if a.State == "proven" {
			fmt.Fprintf(w, "proven  %s  %s\n", a.ID, a.Tests)
		}
	}
	if err := writeJSON(out, answers); err != nil {
		return err
	}
	fmt.Fprintf(w, "%d controls: %d proven, %d gaps, %d outside, %s\n", len(answers), count["proven"], count["gap"], count["outside"], out)
	return nil
}

// answerable reads the table and every record that holds for the source as it is.
func answerable(ctx context.Context, table, key string, errw io.Writer) ([]record.Row, []*record.Test, error) {
	rows, err := record.Table(table)
	if err != nil {
		return nil, nil, fmt.Errorf("the table of %ss: %w (name it with %sS=FILE)", key, err, map[string]string{"feature": "FEATURE", "control": "CONTROL"}[key])
	}
	state, err := record.State(ctx, ".")
	if err != nil {
		return nil, nil, err
	}
	var all []*record.Test
	found := false
	for _, suite := range []string{"test", "interop"} {
		_, tests, err := record.Load(recordDir, suite, state)
		switch {
		case errors.Is(err, record.ErrNone):
			fmt.Fprintf(errw, "LEFT OUT: make %s: %v\n", suite, err)
		case err != nil:
			return nil, nil, err
		default:
			found = true
			all = append(all, tests...)
		}
	}
	if !found {
		fmt.Fprintln(errw, "nothing is proven: run make test and make interop on this source first")
	}
	for _, id := range record.Unknown(rows, all, key) {
		fmt.Fprintf(errw, "a test claims %s %s, which %s does not have\n", key, id, table)
	}
	return rows, all, nil
}

func writeJSON(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(b, '\n'), 0o644) //nolint:gosec // a report for everyone who may read the tree
}
