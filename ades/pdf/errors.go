package pdf

import (
	"errors"

	"github.com/countersign/countersign/internal/fault"
)

// The codes of the faults that this package makes; all are fault.Invalid.
const (
	// CodeNotPDF says that the file has no PDF header.
	CodeNotPDF = "pdf_not_pdf"
	// CodeDamaged says that the file breaks the standard where it matters here.
	CodeDamaged = "pdf_damaged"
	// CodeLimit says that reading would go over one of the Limits.
	CodeLimit = "pdf_limit"
	// CodePassword says that the file is encrypted and no password fits.
	CodePassword = "pdf_password"
	// CodeEncryption says that the file's encryption is not supported.
	CodeEncryption = "pdf_encryption"
	// CodeTooLong says that the file cannot grow in the form its
	// cross-reference has.
	CodeTooLong = "pdf_too_long"
)

func damaged(format string, args ...any) error {
	return fault.New(fault.Invalid, "the PDF is damaged: "+format, args...).WithCode(CodeDamaged)
}

func overLimit(format string, args ...any) error {
	return fault.New(fault.Invalid, "the PDF is refused: "+format, args...).WithCode(CodeLimit)
}

func encryption(format string, args ...any) error {
	return fault.New(fault.Invalid, "the PDF's encryption is not supported: "+format, args...).WithCode(CodeEncryption)
}

// isLimit reports whether err must end the whole reading, even where a smaller
// trouble would be passed over.
func isLimit(err error) bool {
	e, ok := errors.AsType[*fault.Error](err)
	return ok && e.Code == CodeLimit
}
