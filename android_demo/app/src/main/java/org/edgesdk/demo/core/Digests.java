package org.edgesdk.demo.core;

import java.nio.ByteBuffer;
import java.nio.charset.Charset;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/** sha256 in hexadecimal digits. */
public final class Digests {
    private static final char[] HEX = "0123456789abcdef".toCharArray();

    private Digests() {
    }

    /** Of a text in UTF-8. */
    public static String sha256(String text) {
        return sha256(ByteBuffer.wrap(text.getBytes(Charset.forName("UTF-8"))));
    }

    /** Of what lies between a buffer's position and limit, which stay. */
    public static String sha256(ByteBuffer bytes) {
        MessageDigest digest;
        try {
            digest = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException error) {
            throw new IllegalStateException(error);
        }
        digest.update(bytes.duplicate());
        StringBuilder text = new StringBuilder();
        for (byte one : digest.digest()) {
            text.append(HEX[one >> 4 & 15]).append(HEX[one & 15]);
        }
        return text.toString();
    }
}
