//go:build !cgo

package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/countersign/countersign/keystore"
)

// openHSM says why there is none: a vendor's library is linked by cgo.
func openHSM(context.Context, hsmSettings, *slog.Logger) (keystore.Store, error) {
	return nil, errors.New("this countersign-sam was built without cgo and cannot use a hardware module: " +
		"build it with CGO_ENABLED=1 and a C compiler (make hsm builds bin/countersign-sam-hsm)")
}
