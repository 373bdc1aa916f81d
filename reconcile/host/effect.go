package host

// An Effect makes one change to the host, or replaces it in a test. The name is the writer's method with its object
// ("StartUnit haproxy.service"). torn leaves the host as a crash in the middle of the change would; nil if that is nothing.
type Effect func(name string, torn, do func() error) error

// Do makes one change through the hook, if one is set. Every writer calls Do or Tearable exactly once.
func (e Effect) Do(name string, do func() error) error { return e.Tearable(name, nil, do) }

// Tearable makes one change that a crash can leave half done.
func (e Effect) Tearable(name string, torn, do func() error) error {
	if e == nil {
		return do()
	}
	return e(name, torn, do)
}
