package org.edgesdk;

import java.nio.ByteBuffer;
import java.nio.charset.Charset;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** sha256 in hexadecimal digits, as manifests have it. */
public final class Digests {
    private Digests() {}

    /** Of a text in UTF-8; half a surrogate pair counts as a question mark. */
    public static String sha256(String text) {
        return sha256(ByteBuffer.wrap(text.getBytes(Charset.forName("UTF-8"))));
    }

    /** Of what lies between a buffer's position and limit, which stay. */
    public static String sha256(ByteBuffer bytes) {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            digest.update(bytes.duplicate());
            StringBuilder text = new StringBuilder();
            for (byte b : digest.digest()) {
                text.append(Character.forDigit(b >> 4 & 15, 16)).append(Character.forDigit(b & 15,
                        16));
            }
            return text.toString();
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error); // every Java has it
        }
    }
}
