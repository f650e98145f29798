package cms

import (
	"fmt"
	"slices"
)

// Finding is one way in which a structure departs from what its standard or the
// baseline profile says, though it could still be read.
type Finding struct {
	Code   Code
	Detail string // for people, one sentence without a stop
}

// Code is a word for programs to branch on.
type Code string

// The codes of findings.
const (
	NotDER                   Code = "not_der"                    // BER where DER is demanded
	TrailingBytes            Code = "trailing_bytes"             // something other than zero padding behind the CMS
	BadVersion               Code = "bad_version"                // a version number that RFC 5652 does not allow here
	NotOneSigner             Code = "not_one_signer"             // none, or several SignerInfos
	Encapsulated             Code = "encapsulated_content"       // content inside a signature that must be detached
	BadContentType           Code = "bad_content_type"           // eContentType and attribute, or profile, differ
	NoSignedAttributes       Code = "no_signed_attributes"       // the signature is over the bare content
	AttributesUnsorted       Code = "attributes_unsorted"        // signed attributes are not in DER order
	AttributeRepeated        Code = "attribute_repeated"         // an attribute occurs twice, or has several values
	AttributeMalformed       Code = "attribute_malformed"        // an attribute's value cannot be read
	NoContentType            Code = "content_type_missing"       // RFC 5652 §5.3
	NoMessageDigest          Code = "message_digest_missing"     // RFC 5652 §5.3
	NoSigningCertificate     Code = "signing_certificate_absent" // no ESS attribute
	SigningTimePresent       Code = "signing_time_present"       // forbidden in PAdES baseline
	DigestAlgorithmUnlisted  Code = "digest_algorithm_unlisted"  // not in SignedData.digestAlgorithms
	AlgorithmUnknown         Code = "algorithm_unknown"          // this package cannot compute it
	AlgorithmMismatch        Code = "algorithm_mismatch"         // digest and signature algorithm name different digests
	CertificateUnreadable    Code = "certificate_unreadable"     // one of the certificates carried
	RevocationUnreadable     Code = "revocation_unreadable"      // one of the CRLs or OCSP responses carried
	SignerCertificateMissing Code = "signer_certificate_missing" // not carried in the SignedData
)

// String is the finding as a sentence.
func (f Finding) String() string { return f.Detail }

type findings []Finding

func (f *findings) add(c Code, format string, args ...any) {
	*f = append(*f, Finding{Code: c, Detail: fmt.Sprintf(format, args...)})
}

// Has reports whether a finding of one of the codes is in the list.
func Has(list []Finding, codes ...Code) bool {
	for _, f := range list {
		if slices.Contains(codes, f.Code) {
			return true
		}
	}
	return false
}
