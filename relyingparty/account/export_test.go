package account

import "time"

// CodeAt is the code that an authenticator app shows at a time.
func CodeAt(secret []byte, at time.Time) string { return codeAt(secret, at.Unix()/30) }
