package link

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/bpf"
)

const (
	// typeLocal is the Local Experimental EtherType 1 of IEEE Std 802. Other protocols can use it too, so agentMark comes
	// first.
	typeLocal uint16 = 0x88b5
	agentMark uint32 = 'r'<<24 | 'l'<<16 | 'b'<<8 | 1 // the last octet is the version of the format

	agentLength  = frameHeader + 4 // of the message, in two octets, because short frames are padded
	agentMessage = frameHeader + 6

	// maxAgentMessage is the longest body of a message, in octets.
	maxAgentMessage = 1024
	maxAddition     = 256 // longest addition, in octets

	agentsPerSecond = 20        // frames read; the socket's buffer holds some more, and the kernel drops the rest
	agentBuffer     = 16 * 1024 // octets
)

// Message is a message of an agent: a body of 1 to maxAgentMessage octets, and an addition behind it in the frame, which
// older agents ignore. Zeros can follow an addition, because Ethernet pads short frames.
type Message = struct{ Body, Addition []byte }

// agentGroup is the multicast MAC of the agents, locally administered. IGMP snooping does not apply to it.
var agentGroup = net.HardwareAddr{0x03, 0, 0, 'r', 'l', 'b'}

// TalkToAgents sends the messages from say to all agents on the interface's link. It calls heard for each message of
// another machine's agent, at most agentsPerSecond times a second. heard must not keep the message. Messages are not
// authenticated: every host on the link can send one. A message that is in say when ctx ends is still sent.
func TalkToAgents(ctx context.Context, iface string, say <-chan Message, heard func(mac net.HardwareAddr, message Message)) error {
	if err := talkToAgents(ctx, iface, say, heard); err != nil {
		return fmt.Errorf("cannot exchange agent frames on %s: %w", iface, err)
	}
	return nil
}

func talkToAgents(ctx context.Context, iface string, say <-chan Message, heard func(net.HardwareAddr, Message)) error {
	l, err := lookAt(iface)
	if err != nil {
		return err
	}
	s, err := open(l, typeLocal, agentsBy(l.mac))
	if err != nil {
		return err
	}
	defer s.file.Close()
	if err := s.join(l, agentGroup); err != nil {
		return err
	}
	if err := s.bound(agentBuffer); err != nil {
		return err
	}
	within, cancel := context.WithCancel(ctx)
	var sender sync.WaitGroup
	defer sender.Wait() // before the socket is closed
	defer cancel()
	defer endWith(within, s.file)()
	var sendErr error
	sender.Go(func() {
		sendErr = s.sendAll(within, l.mac, say)
		cancel()
	})
	limit := rate{most: agentsPerSecond}
	err = receive(s.file, func(frame []byte) bool {
		if message, ok := parseAgent(frame); ok && l.foreign(net.HardwareAddr(frame[frameSource:][:6])) {
			heard(slices.Clone(net.HardwareAddr(frame[frameSource:][:6])), message)
		}
		limit.wait(within)
		return false
	})
	cancel()
	sender.Wait()
	if err == nil {
		err = sendErr
	}
	return err
}

func (s *socket) sendAll(ctx context.Context, mac net.HardwareAddr, say <-chan Message) error {
	for {
		select {
		case message := <-say:
			if err := s.send(agentFrame(mac, message)); err != nil {
				return err
			}
			continue
		case <-ctx.Done():
		}
		select {
		case message := <-say: // the last message
			return s.send(agentFrame(mac, message))
		default:
			return nil
		}
	}
}

// rate limits how often something happens.
type rate struct {
	most  int // a second
	begun time.Time
	done  int
}

// wait counts one event, and waits for the next second if the limit of this second is reached.
func (r *rate) wait(ctx context.Context) {
	if now := time.Now(); now.Sub(r.begun) >= time.Second {
		r.begun, r.done = now, 0
	}
	if r.done++; r.done < r.most {
		return
	}
	timer := time.NewTimer(time.Until(r.begun.Add(time.Second)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// agentFrame returns the frame of a message. Its length field is the length of the body, so older agents treat an addition
// as Ethernet padding.
func agentFrame(from net.HardwareAddr, message Message) []byte {
	frame := binary.BigEndian.AppendUint32(header(agentGroup, from, typeLocal), agentMark)
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(message.Body)))
	return append(append(frame, message.Body...), message.Addition...)
}

// agentsBy keeps agent frames to the group that do not come from our own MAC.
func agentsBy(own net.HardwareAddr) program {
	var p program
	p.needMAC(agentGroup, 0)
	p.need(half, 12, uint32(typeLocal))
	p.need(word, frameHeader, agentMark)
	p.load(half, agentLength)
	p.add(bpf.JumpIf{Cond: bpf.JumpLessOrEqual, Val: maxAgentMessage, SkipTrue: 1})
	p.drop()
	p.refuse(own, frameSource)
	p.keep()
	return p
}

// parseAgent returns the message in a frame.
func parseAgent(frame []byte) (message Message, ok bool) {
	if len(frame) < agentMessage || !slices.Equal(net.HardwareAddr(frame[:6]), agentGroup) || binary.BigEndian.Uint16(frame[12:]) != typeLocal ||
		binary.BigEndian.Uint32(frame[frameHeader:]) != agentMark || !single(net.HardwareAddr(frame[frameSource:][:6])) {
		return message, false
	}
	length := int(binary.BigEndian.Uint16(frame[agentLength:]))
	if length == 0 || length > maxAgentMessage || agentMessage+length > len(frame) {
		return message, false
	}
	rest := frame[agentMessage:]
	return Message{Body: rest[:length], Addition: rest[length:min(len(rest), length+maxAddition)]}, true
}
