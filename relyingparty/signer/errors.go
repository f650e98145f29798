package signer

import (
	"errors"
	"os"
	"syscall"

	"github.com/countersign/countersign/internal/fault"
)

// Codes of the faults that this package makes beside those of the packages it
// uses.
const (
	CodeSignatureWrong   = "signature_wrong"      // the service's signature does not verify
	CodeTimestampWrong   = "timestamp_wrong"      // the time-stamp is not over what was asked
	CodeClock            = "clock_skew"           // this computer's clock is off
	CodeNoCredential     = "no_credential"        //nolint:gosec // no secret: nothing that can sign
	CodeAmbiguous        = "credential_ambiguous" // several; name one
	CodeCredential       = "credential_unusable"  //nolint:gosec // no secret: disabled, expired, not of a kind that can be used
	CodeTooMany          = "too_many_files"       // more than one approval may cover
	CodeEvidence         = "evidence_missing"     // validation data cannot be had
	CodeNotValid         = "output_not_valid"     // the finished file does not validate
	CodeApproval         = "approval_refused"     // the signer did not approve
	CodeInput            = "input_unreadable"     // missing, or no regular file
	CodeOutput           = "output_unwritable"    // permission, or no such folder
	CodeDiskFull         = "disk_full"
	CodeOutputIsInput    = "output_is_input"
	CodeWrongAlgorithm   = "algorithm_not_offered"
	CodeStampUnavailable = "timestamps_not_offered"
)

// ExitCode is the command line's exit code for an error of Sign: 0 for none, 1
// when the signer said no, 3 for input that cannot be signed, 4 when the service
// cannot be reached or answered wrongly, 5 for local trouble.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	switch fault.Of(err).Kind {
	case fault.Forbidden:
		return 1
	case fault.Invalid, fault.NotFound, fault.TooLarge, fault.Conflict:
		return 3
	case fault.Unavailable, fault.Unauthenticated, fault.Expired, fault.TooMany:
		return 4
	case fault.Internal:
	}
	return 5
}

// ofService makes an error of the remote side fault.Unavailable, whatever kind
// it has there: to the caller it means that the service did not do its part. An
// approval that was refused stays what it is.
func ofService(err error) error {
	if err == nil {
		return nil
	}
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind == fault.Internal || (f.Kind == fault.Forbidden && f.Code == CodeApproval) {
		return err
	}
	return fault.New(fault.Unavailable, "%s", f.Detail).WithCode(f.Code).Because(err)
}

// ofApproval makes an error of Approve one of the signer's, unless the way there
// was the trouble.
func ofApproval(err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind == fault.Unavailable || f.Kind == fault.Internal {
		return err
	}
	return fault.New(fault.Forbidden, "%s", f.Detail).WithCode(CodeApproval).Because(err)
}

// unreadable is an input file that cannot be opened.
func unreadable(path string, err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fault.New(fault.Invalid, "%s does not exist", path).WithCode(CodeInput).Because(err)
	case errors.Is(err, os.ErrPermission):
		return fault.New(fault.Internal, "%s may not be read: permission denied", path).WithCode(CodeInput).Because(err)
	}
	return fault.New(fault.Internal, "%s cannot be read: %s", path, reason(err)).WithCode(CodeInput).Because(err)
}

// unwritable is trouble with an output file.
func unwritable(path string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.New(fault.Internal, "no space is left for %s; nothing was left behind there", path).WithCode(CodeDiskFull).Because(err)
	case errors.Is(err, os.ErrPermission), errors.Is(err, syscall.EROFS):
		return fault.New(fault.Internal, "%s may not be written: permission denied", path).WithCode(CodeOutput).Because(err)
	case errors.Is(err, os.ErrNotExist):
		return fault.New(fault.Internal, "%s cannot be written: the folder does not exist", path).WithCode(CodeOutput).Because(err)
	}
	return fault.New(fault.Internal, "%s cannot be written: %s", path, reason(err)).WithCode(CodeOutput).Because(err)
}

// reason is the operating system's word for an error, without the path that the
// sentence around it names already.
func reason(err error) string {
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e.Error()
	}
	return err.Error()
}
