// A server of Go's TLS that passes on what comes to a port on loopback: peer PORT BACKEND [SETTING=VALUE..]
package main

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"os"
	"strings"
)

func main() {
	port, backend := os.Args[1], os.Args[2]
	settings := map[string]string{}
	for _, argument := range os.Args[3:] {
		name, value, _ := strings.Cut(argument, "=")
		settings[name] = value
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:"+port, configuration(settings))
	if err != nil {
		log.Fatal(err)
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(client, backend, settings["records"] == "small")
	}
}

func configuration(settings map[string]string) *tls.Config {
	own, err := tls.LoadX509KeyPair("server.pem", "server.key")
	if err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{own}}
	switch settings["version"] {
	case "1.2":
		config.MaxVersion = tls.VersionTLS12
	case "1.3":
		config.MinVersion = tls.VersionTLS13
	}
	if settings["group"] != "" {
		config.CurvePreferences = []tls.CurveID{tls.CurveP384}
	}
	if settings["clients"] != "" {
		authority, err := os.ReadFile("clients.pem")
		if err != nil {
			log.Fatal(err)
		}
		config.ClientCAs = x509.NewCertPool()
		config.ClientCAs.AppendCertsFromPEM(authority)
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	return config
}

func serve(client net.Conn, backend string, small bool) {
	defer client.Close()
	if err := client.(*tls.Conn).Handshake(); err != nil {
		return
	}
	broker, err := net.Dial("tcp", "127.0.0.1:"+backend)
	if err != nil {
		return
	}
	defer broker.Close()
	go func() {
		// Each write is a record, or some.
		bytes := make([]byte, 16384)
		if small {
			bytes = bytes[:100]
		}
		io.CopyBuffer(struct{ io.Writer }{client}, struct{ io.Reader }{broker}, bytes)
		client.Close()
	}()
	io.Copy(broker, client)
}
