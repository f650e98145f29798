//go:build cgo

package main

import (
	"context"
	"log/slog"

	"github.com/countersign/countersign/keystore"
	"github.com/countersign/countersign/keystore/pkcs11"
)

func openHSM(ctx context.Context, h hsmSettings, log *slog.Logger) (keystore.Store, error) {
	return pkcs11.Open(ctx, pkcs11.Config{Module: string(h.Module), Token: h.Token, PIN: h.PIN.Bytes(), Sessions: h.Sessions, Log: log})
}
