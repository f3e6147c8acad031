package main

import (
	"encoding/binary"
	"iter"
	"unsafe"
)

// A message in a list of 64-bit words, for the interface `mqtt-wasi:client/bulk`: see wit/bulk.wit for the frames.
type frame struct {
	topic               string
	payload, properties []byte // The properties as MQTT has them, without their length.
	qos                 uint8
	retain, duplicate   bool
	delivery            *uint64 // For Acknowledge. Not for messages to publish.
}

// The properties of a message whose payload is UTF-8.
var textProperties = []byte{1, 1}

// Packs messages to publish.
func pack(frames ...frame) (words []uint64) {
	for _, f := range frames {
		head := append(binary.BigEndian.AppendUint16(nil, uint16(len(f.topic))), f.topic...)
		head = append(binary.AppendUvarint(head, uint64(len(f.properties))), f.properties...)
		start := 2 + (len(head)+7)/8
		packed := make([]uint64, start+(len(f.payload)+7)/8)
		packed[0], packed[1] = uint64(len(f.payload))|uint64(f.qos)<<33, uint64(len(head))
		if f.retain {
			packed[0] |= 1 << 32
		}
		copy(bytesOf(packed[2:]), head)
		copy(bytesOf(packed[start:]), f.payload)
		words = append(words, packed...)
	}
	return words
}

// The messages in a list that was received. Payload and properties are parts of the list, not copies.
func unpack(words []uint64) iter.Seq[frame] {
	return func(yield func(frame) bool) {
		for more := true; more && len(words) > 0; {
			first, headLength := words[0], words[1]
			words = words[2:]
			f := frame{qos: uint8(first >> 33 & 3), retain: first>>32&1 != 0, duplicate: first>>35&1 != 0}
			if first>>36&1 != 0 {
				f.delivery, words = &words[0], words[1:]
			}
			topic, rest := cut(bytesOf(words)[:headLength])
			length, size := binary.Uvarint(rest)
			words = words[(headLength+7)/8:]
			f.topic, f.properties, f.payload = string(topic), rest[size:][:length], bytesOf(words)[:uint32(first)]
			words = words[(uint32(first)+7)/8:]
			more = yield(f)
		}
	}
}

// Names and values of the User Properties among the properties of a message.
func userProperties(rest []byte) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for more := true; more && len(rest) > 0; {
			identifier := rest[0]
			rest = rest[1:]
			if size, isNumber := sizes[identifier]; isNumber {
				rest = rest[size:]
			} else if identifier == 0x0b { // A Subscription Identifier is a Variable Byte Integer.
				_, size = binary.Uvarint(rest)
				rest = rest[size:]
			} else {
				var name, value []byte
				if name, rest = cut(rest); identifier == 0x26 {
					value, rest = cut(rest)
					more = yield(string(name), string(value))
				}
			}
		}
	}
}

// Payload Format Indicator, Message Expiry Interval, Topic Alias. Other properties have their length before them.
var sizes = map[byte]int{0x01: 1, 0x02: 4, 0x23: 2}

// Takes what has its length before it in two bytes.
func cut(bytes []byte) (first, rest []byte) {
	end := 2 + int(binary.BigEndian.Uint16(bytes))
	return bytes[2:end], bytes[end:]
}

// WebAssembly is little-endian, so words are their bytes.
func bytesOf(words []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), len(words)*8)
}
