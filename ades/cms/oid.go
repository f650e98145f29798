package cms

// Object identifiers of content types (RFC 5652, RFC 3161).
const (
	OIDData       = "1.2.840.113549.1.7.1"
	OIDSignedData = "1.2.840.113549.1.7.2"
	OIDTSTInfo    = "1.2.840.113549.1.9.16.1.4"
)

// Object identifiers of attributes.
const (
	OIDAttrContentType          = "1.2.840.113549.1.9.3"
	OIDAttrMessageDigest        = "1.2.840.113549.1.9.4"
	OIDAttrSigningTime          = "1.2.840.113549.1.9.5"
	OIDAttrCountersignature     = "1.2.840.113549.1.9.6"
	OIDAttrSigningCertificate   = "1.2.840.113549.1.9.16.2.12" // ESS, SHA-1
	OIDAttrSigningCertificateV2 = "1.2.840.113549.1.9.16.2.47" // ESS, RFC 5035
	OIDAttrSignatureTimestamp   = "1.2.840.113549.1.9.16.2.14"
	OIDAttrSignaturePolicy      = "1.2.840.113549.1.9.16.2.15"
	OIDAttrCommitmentType       = "1.2.840.113549.1.9.16.2.16"
	OIDAttrSignerLocation       = "1.2.840.113549.1.9.16.2.17"
	OIDAttrContentTimestamp     = "1.2.840.113549.1.9.16.2.20"
	OIDAttrRevocationArchival   = "1.2.840.113583.1.1.8" // Adobe's revocationInfoArchival
)

// Object identifiers of commitment types (ETSI TS 119 172-1 Annex B), values for
// AttributeOptions.Commitment.
const (
	CommitmentProofOfOrigin   = "1.2.840.113549.1.9.16.6.1"
	CommitmentProofOfReceipt  = "1.2.840.113549.1.9.16.6.2"
	CommitmentProofOfDelivery = "1.2.840.113549.1.9.16.6.3"
	CommitmentProofOfSender   = "1.2.840.113549.1.9.16.6.4"
	CommitmentProofOfApproval = "1.2.840.113549.1.9.16.6.5"
	CommitmentProofOfCreation = "1.2.840.113549.1.9.16.6.6"
)

const (
	oidSPURI            = "1.2.840.113549.1.9.16.5.1"
	oidMGF1             = "1.2.840.113549.1.1.8"
	oidRIOCSP           = "1.3.6.1.5.5.7.16.2" // id-ri-ocsp-response
	oidOCSPBasic        = "1.3.6.1.5.5.7.48.1.1"
	oidOCSPNonce        = "1.3.6.1.5.5.7.48.1.2"
	oidOCSPNoCheck      = "1.3.6.1.5.5.7.48.1.5"
	oidExtKeyUsage      = "2.5.29.37"
	oidIDP              = "2.5.29.28"
	oidDeltaCRL         = "2.5.29.27"
	oidNoRevAvail       = "2.5.29.56"
	oidValidityAssured  = "0.4.0.194121.2.1" // ETSI EN 319 412-1 §5.2
	oidPublicKeyEC      = "1.2.840.10045.2.1"
	oidPublicKeyRSA     = "1.2.840.113549.1.1.1"
	oidPublicKeyPSS     = "1.2.840.113549.1.1.10"
	oidPublicKeyEd25519 = "1.3.101.112"
)
