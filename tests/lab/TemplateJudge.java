import com.pixelmed.validate.DicomSRValidator;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import javax.xml.transform.ErrorListener;
import javax.xml.transform.Source;
import javax.xml.transform.Templates;
import javax.xml.transform.Transformer;
import javax.xml.transform.TransformerConfigurationException;
import javax.xml.transform.TransformerFactory;
import javax.xml.transform.URIResolver;

/** PixelMed's DicomSRValidator over file after file: a path a line comes in; the number of bytes that it says, and these, go out. */
public class TemplateJudge {
    /**
     * Java's own style sheets, in which a document has the name that it was asked for by, where the validator's has none: a document without a
     * name is not found again, and the validator read its 664 kB of context groups anew for each code that it looked up there.
     */
    public static class Named extends TransformerFactory {
        private final TransformerFactory own = TransformerFactory.newDefaultInstance();

        @Override
        public void setURIResolver(URIResolver resolver) {
            own.setURIResolver((name, base) -> {
                Source found = resolver.resolve(name, base);
                found.setSystemId(base == null ? name : base.substring(0, base.lastIndexOf('/') + 1) + name);
                return found;
            });
        }

        @Override
        public URIResolver getURIResolver() {
            return own.getURIResolver();
        }

        @Override
        public Transformer newTransformer(Source source) throws TransformerConfigurationException {
            return own.newTransformer(source);
        }

        @Override
        public Transformer newTransformer() throws TransformerConfigurationException {
            return own.newTransformer();
        }

        @Override
        public Templates newTemplates(Source source) throws TransformerConfigurationException {
            return own.newTemplates(source);
        }

        @Override
        public Source getAssociatedStylesheet(Source source, String media, String title, String charset)
                throws TransformerConfigurationException {
            return own.getAssociatedStylesheet(source, media, title, charset);
        }

        @Override
        public void setFeature(String name, boolean value) throws TransformerConfigurationException {
            own.setFeature(name, value);
        }

        @Override
        public boolean getFeature(String name) {
            return own.getFeature(name);
        }

        @Override
        public void setAttribute(String name, Object value) {
            own.setAttribute(name, value);
        }

        @Override
        public Object getAttribute(String name) {
            return own.getAttribute(name);
        }

        @Override
        public void setErrorListener(ErrorListener listener) {
            own.setErrorListener(listener);
        }

        @Override
        public ErrorListener getErrorListener() {
            return own.getErrorListener();
        }
    }

    public static void main(String[] unused) throws Exception {
        Thread.currentThread().setContextClassLoader(TemplateJudge.class.getClassLoader());
        System.setProperty("javax.xml.transform.TransformerFactory", Named.class.getName());
        BufferedReader asked = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        PrintStream back = System.out;
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        PrintStream both = new PrintStream(said, true, "UTF-8");
        // before a class of its is loaded that could keep the other streams
        System.setOut(both);
        System.setErr(both);
        DicomSRValidator validator = null;
        for (String path; (path = asked.readLine()) != null; ) {
            said.reset();
            try {
                if (validator == null) {
                    validator = new DicomSRValidator();
                }
                both.print(validator.validate(path));
            } catch (Throwable failed) {
                failed.printStackTrace(both);
                validator = null;
            }
            both.flush();
            back.println(said.size());
            said.writeTo(back);
            back.flush();
        }
    }
}
