package host

// An Effect does one change of a machine, or what a test puts in its place. The name is the writer's with its object
// ("StartUnit haproxy.service"); torn leaves what a crash in the middle of the change would, nil where that is nothing.
type Effect func(name string, torn, do func() error) error

// Do does one change by way of the hook, if there is one. Every writer calls it or Tearable, once.
func (e Effect) Do(name string, do func() error) error { return e.Tearable(name, nil, do) }

// Tearable does one change that a crash can leave half done.
func (e Effect) Tearable(name string, torn, do func() error) error {
	if e == nil {
		return do()
	}
	return e(name, torn, do)
}
