package debian

// An Effect does one change of this machine, or what a test puts in its place. The name is the writer's with its object
// ("StartUnit haproxy.service"); torn leaves what a crash in the middle of the change would, nil where that is nothing.
type Effect func(name string, torn, do func() error) error

// effect does one change by way of the hook, if there is one. Every writer calls it, once.
func (h *Host) effect(name string, do func() error) error { return h.tearable(name, nil, do) }

func (h *Host) tearable(name string, torn, do func() error) error {
	if h.hook == nil {
		return do()
	}
	return h.hook(name, torn, do)
}
