import com.pixelmed.validate.DicomSRValidator;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;

/** PixelMed's DicomSRValidator over file after file: a path a line comes in; the number of bytes that it says, and these, go out. */
public class TemplateJudge {
    public static void main(String[] unused) throws Exception {
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
