// A server of Java's TLS that passes on what comes to a port on loopback: java Peer.java PORT BACKEND [SETTING=VALUE..]

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLServerSocket;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

public class Peer {
    static final Map<String, String> settings = new HashMap<>();

    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[0]);
        int backend = Integer.parseInt(arguments[1]);
        for (int i = 2; i < arguments.length; i++) {
            String[] setting = arguments[i].split("=", 2);
            settings.put(setting[0], setting[1]);
        }
        if (settings.containsKey("group")) {
            System.setProperty("jdk.tls.namedGroups", "secp384r1");
        }
        InetAddress loopback = InetAddress.getByName("127.0.0.1");
        SSLServerSocket server =
            (SSLServerSocket) context().getServerSocketFactory().createServerSocket(port, 50, loopback);
        SSLParameters parameters = server.getSSLParameters();
        if (settings.containsKey("version")) {
            parameters.setProtocols(new String[] {"TLSv" + settings.get("version")});
        }
        parameters.setNeedClientAuth(settings.containsKey("clients"));
        server.setSSLParameters(parameters);
        while (true) {
            SSLSocket client = (SSLSocket) server.accept();
            new Thread(() -> serve(client, backend)).start();
        }
    }

    static SSLContext context() throws Exception {
        KeyStore own = KeyStore.getInstance(KeyStore.getDefaultType());
        own.load(null, null);
        own.setKeyEntry("own", key("server.key"), new char[0], new Certificate[] {certificate("server.pem")});
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(own, new char[0]);
        TrustManagerFactory trust = null;
        if (settings.containsKey("clients")) {
            KeyStore clients = KeyStore.getInstance(KeyStore.getDefaultType());
            clients.load(null, null);
            clients.setCertificateEntry("clients", certificate("clients.pem"));
            trust = TrustManagerFactory.getInstance("PKIX");
            trust.init(clients);
        }
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust == null ? null : trust.getTrustManagers(), null);
        return context;
    }

    static Certificate certificate(String name) throws Exception {
        return CertificateFactory.getInstance("X.509").generateCertificate(new ByteArrayInputStream(pem(name)));
    }

    static PrivateKey key(String name) throws Exception {
        PKCS8EncodedKeySpec encoded = new PKCS8EncodedKeySpec(pem(name));
        for (String algorithm : new String[] {"EC", "RSA", "EdDSA"}) {
            try {
                return KeyFactory.getInstance(algorithm).generatePrivate(encoded);
            } catch (java.security.spec.InvalidKeySpecException another) {
                // It is of another kind.
            }
        }
        throw new IOException(name + " has a key of no known kind");
    }

    static byte[] pem(String name) throws IOException {
        String text = Files.readString(Path.of(name));
        return Base64.getMimeDecoder().decode(text.replaceAll("-----[A-Z ]+-----", ""));
    }

    static void serve(SSLSocket client, int backend) {
        try (client; Socket broker = new Socket("127.0.0.1", backend)) {
            client.setTcpNoDelay(true);
            broker.setTcpNoDelay(true);
            client.startHandshake();
            Thread back = new Thread(() -> pass(broker, client, settings.containsKey("records") ? 100 : 16384));
            back.start();
            pass(client, broker, 16384);
            back.join();
        } catch (IOException | InterruptedException gone) {
            // The client sees that its connection is over.
        }
    }

    static void pass(Socket from, Socket to, int most) {
        try (from; to) {
            InputStream in = from.getInputStream();
            OutputStream out = to.getOutputStream();
            byte[] bytes = new byte[most];
            for (int length; (length = in.read(bytes)) > 0;) {
                out.write(bytes, 0, length);
                out.flush();
            }
        } catch (IOException gone) {
            // One of them is.
        }
    }
}
