package main

import (
	"encoding/json"
	"fmt"

	"github.com/countersign/countersign/cmd/internal/buildinfo"
)

type versionCmd struct {
	JSON bool `help:"One JSON object."`
}

// Run prints the build.
func (c *versionCmd) Run(t terminal) error {
	i := buildinfo.Read("countersign")
	if c.JSON {
		return json.NewEncoder(t.out).Encode(i)
	}
	_, err := fmt.Fprintln(t.out, i)
	return err
}
