package request

// LinkOf is a signer's link, which nobody but the signer gets before their turn.
func (s *Service) LinkOf(signer string) string { return s.secrets.link(signer) }
