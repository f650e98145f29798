package cscsam

import (
	"github.com/countersign/countersign/csc"
	"github.com/countersign/countersign/internal/fault"
	"github.com/countersign/countersign/sam/samapi"
)

// translate puts what the module says into the specification's words. Whatever
// has no words of its own goes on by its kind.
func translate(err error) error {
	if err == nil {
		return nil
	}
	var e *csc.Error
	switch fault.Of(err).Code {
	case samapi.CodeUnknownCredential:
		e = csc.InvalidParameter("credentialID")
	case samapi.CodeCredentialDisabled:
		e = csc.ErrCredentialDisabled
	case samapi.CodeCertificateExpired:
		e = csc.ErrCertificateExpired
	case samapi.CodeCertificateRevoked:
		e = csc.ErrCertificateRevoked
	case samapi.CodeStatusUnknown:
		e = csc.ErrUnavailable
	case samapi.CodeHashNotAuthorized:
		e = csc.ErrHashNotAuthorized
	case samapi.CodeHashLength:
		e = csc.ErrHashLength
	case samapi.CodeAlgorithm:
		e = csc.InvalidParameter("signAlgo")
	case samapi.CodeTooMany:
		e = csc.ErrTooManySignatures
	case samapi.CodeSADInvalid, samapi.CodeNotApproved:
		e = csc.InvalidParameter("SAD")
	case samapi.CodeSADExpired:
		e = csc.ErrSADExpired
	case samapi.CodeRejected:
		e = csc.ErrAccessDenied
	default:
		return err
	}
	return e.Because(err)
}
