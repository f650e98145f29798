//go:build cgo

package pkcs11

import (
	"errors"
	"fmt"
	"slices"

	"github.com/miekg/pkcs11"

	"github.com/countersign/countersign/keystore"
)

// errDown says that the last recovery failed.
var errDown = errors.New("it is not there")

// errStuck says that a session object could not be destroyed: its session is closed.
var errStuck = errors.New("destroy session key")

// undone are answers that say that nothing was done: session, login or handle are
// gone.
var undone = []pkcs11.Error{
	pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_SESSION_CLOSED, pkcs11.CKR_OBJECT_HANDLE_INVALID, pkcs11.CKR_KEY_HANDLE_INVALID,
	pkcs11.CKR_WRAPPING_KEY_HANDLE_INVALID, pkcs11.CKR_UNWRAPPING_KEY_HANDLE_INVALID, pkcs11.CKR_USER_NOT_LOGGED_IN,
	pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED, pkcs11.CKR_SLOT_ID_INVALID,
}

// unsure are answers after which nobody knows how far the module came.
var unsure = []pkcs11.Error{
	pkcs11.CKR_DEVICE_ERROR, pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_TOKEN_NOT_PRESENT, pkcs11.CKR_TOKEN_NOT_RECOGNIZED,
	pkcs11.CKR_GENERAL_ERROR, pkcs11.CKR_FUNCTION_FAILED,
}

// wrongPIN are answers to C_Login after which trying again would lock the token.
var wrongPIN = []pkcs11.Error{
	pkcs11.CKR_PIN_INCORRECT, pkcs11.CKR_PIN_LOCKED, pkcs11.CKR_PIN_INVALID, pkcs11.CKR_PIN_LEN_RANGE, pkcs11.CKR_PIN_EXPIRED,
}

func answered(err error, codes ...pkcs11.Error) bool {
	e, ok := errors.AsType[pkcs11.Error](err)
	return ok && slices.Contains(codes, e)
}

// fromModule says that an error is an answer of the module.
func fromModule(err error) bool {
	_, ok := errors.AsType[pkcs11.Error](err)
	return ok
}

// nothingDone says that the call had no effect and may be made again.
func nothingDone(err error) bool { return errors.Is(err, errDown) || answered(err, undone...) }

// lost says that the driver must recover before the next call.
func lost(err error) bool { return nothingDone(err) || answered(err, unsure...) }

// unavailable is an error of a lost module, for callers.
func unavailable(err error) error {
	if err == nil || !lost(err) || errors.Is(err, keystore.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", keystore.ErrUnavailable, err)
}

// notRecovered is why a call was not made again: what was lost, and why it did not
// come back.
func notRecovered(err, recovery error) error {
	if errors.Is(err, errDown) { // nothing new: the recovery says it
		return unavailable(recovery)
	}
	return unavailable(fmt.Errorf("%w, and then: %w", err, recovery))
}
