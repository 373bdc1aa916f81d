package main

import (
	"fmt"
	"strconv"
	"strings"
)

// textForm is the form of texts under a rule of package api: a pattern, or the name of the variable that holds it. If
// api parses a text, the pattern is wider: it is for the editor, and api decides.
type textForm struct {
	pattern string
	longest int
}

var texts = map[string]textForm{
	"name":       {"namePattern", 128},
	"ifname":     {"interfacePattern", 15},
	"path":       {"pathPattern", 4095},
	"urlpath":    {"urlPathPattern", 1024},
	"debversion": {"debversionPattern", 128},
	"words":      {"", 1024},
	"host":       {`^[0-9A-Za-z.:-]+$`, 253},
	"dnsname":    {`^[0-9A-Za-z.-]+$`, 253},
	"sni":        {`^(\*\.)?[0-9A-Za-z.-]+$`, 255},
	"unicast":    {`^[0-9A-Fa-f:.]+$`, 0},
	"bind":       {`^(\*|[0-9A-Fa-f:.]+)$`, 0},
	"virtualip":  {`^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$`, 0},
	"cidr":       {`^[0-9A-Fa-f:.]+/[0-9]{1,3}$`, 0},
	"addrport":   {`^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$`, 0},
	"webaddress": {`^(unix:/.+|([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5})$`, 0},
}

// apply adds one rule of a validate tag to a schema. An unknown rule is an error, so that none is forgotten.
func (t goTypes) apply(s *schema, rule string) error {
	tag, param, _ := strings.Cut(rule, "=")
	if known, ok := texts[tag]; ok {
		return t.applyText(s, known, param)
	}
	switch tag {
	case "required", "omitempty":
		return nil
	case "eq":
		s.Const = param
		return nil
	case "endswith":
		s.Pattern = "^/.*" + strings.ReplaceAll(param, ".", `\.`) + "$"
		return nil
	case "oneof":
		for word := range strings.FieldsSeq(param) {
			var value any = word
			if number, err := strconv.Atoi(word); err == nil && s.Type == "integer" {
				value = number
			}
			s.Enum = append(s.Enum, value)
		}
		return nil
	case "min", "max":
		return s.bound(tag, param)
	}
	return fmt.Errorf("no schema for the rule %q", rule)
}

func (t goTypes) applyText(s *schema, known textForm, param string) error {
	s.Pattern = known.pattern
	if strings.HasSuffix(known.pattern, "Pattern") {
		if s.Pattern = t.pattern(known.pattern); s.Pattern == "" {
			return fmt.Errorf("cannot find the pattern %s", known.pattern)
		}
	}
	longest := known.longest
	if param != "" {
		number, err := strconv.Atoi(param)
		if err != nil {
			return err
		}
		longest = number
	}
	if longest > 0 {
		s.MaxLength = &longest
	}
	return nil
}

func (s *schema) bound(tag, param string) error {
	number, err := strconv.Atoi(param)
	if err != nil {
		return err
	}
	switch {
	case s.Type == "array" && tag == "min":
		s.MinItems = &number
	case s.Type == "array":
		s.MaxItems = &number
	case tag == "min":
		s.Minimum = &number
	default:
		s.Maximum = &number
	}
	return nil
}
