package notify

// ReadCaught reads a mail as the catcher does.
func ReadCaught(raw []byte) (Caught, error) {
	var m Caught
	m.DKIM = (&Catcher{}).verify(raw)
	err := m.read(raw)
	return m, err
}
