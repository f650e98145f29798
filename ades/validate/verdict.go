package validate

// Verdict is the main status indication of ETSI TS 119 102-1 §5.1.3.
type Verdict string

// The verdicts.
const (
	Passed        Verdict = "TOTAL-PASSED"
	Indeterminate Verdict = "INDETERMINATE"
	Failed        Verdict = "TOTAL-FAILED"
)

// Sub is a sub-indication of ETSI TS 119 102-1 Table 5 and 6.
type Sub string

// The sub-indications this package gives.
const (
	FormatFailure         Sub = "FORMAT_FAILURE"
	HashFailure           Sub = "HASH_FAILURE"
	SigCryptoFailure      Sub = "SIG_CRYPTO_FAILURE"
	SigConstraintsFailure Sub = "SIG_CONSTRAINTS_FAILURE"
	ChainConstraints      Sub = "CHAIN_CONSTRAINTS_FAILURE"
	ChainGeneral          Sub = "CERTIFICATE_CHAIN_GENERAL_FAILURE"
	CryptoConstraints     Sub = "CRYPTO_CONSTRAINTS_FAILURE"
	CryptoNoPOE           Sub = "CRYPTO_CONSTRAINTS_FAILURE_NO_POE"
	NoSigningCertificate  Sub = "NO_SIGNING_CERTIFICATE_FOUND"
	NoChain               Sub = "NO_CERTIFICATE_CHAIN_FOUND"
	RevokedNoPOE          Sub = "REVOKED_NO_POE"
	RevokedCANoPOE        Sub = "REVOKED_CA_NO_POE"
	OutOfBoundsNoPOE      Sub = "OUT_OF_BOUNDS_NO_POE"
	NotYetValid           Sub = "NOT_YET_VALID"
	TryLater              Sub = "TRY_LATER"
	Generic               Sub = "GENERIC"
)

// problem is one reason why something is not passed.
type problem struct {
	verdict Verdict
	sub     Sub
	text    string
}

// problems collects reasons; the weightiest decides.
type problems []problem

func (p *problems) fail(sub Sub, text string) { *p = append(*p, problem{Failed, sub, text}) }

func (p *problems) doubt(sub Sub, text string) { *p = append(*p, problem{Indeterminate, sub, text}) }

// verdict is the outcome: the first failure, else the first doubt, else passed.
func (p problems) verdict() (Verdict, Sub) {
	for _, want := range []Verdict{Failed, Indeterminate} {
		for _, x := range p {
			if x.verdict == want {
				return x.verdict, x.sub
			}
		}
	}
	return Passed, ""
}

func (p problems) texts() []string {
	var out []string
	for _, x := range p {
		out = append(out, x.text)
	}
	return out
}
