"""Chinese (Simplified) of the sentences that the applications which come with hilum say, by their templates in English."""

from collections.abc import Mapping

REMARKS: Mapping[str, str] = {
    # lungs
    "No lung was found in these images.": "图像中未检出肺组织。",
    "Left and right lung could not be told apart: they are one segment.": "左、右肺无法区分，合为一个分割区域。",
    # ct-head-bleed
    "Research only, not for diagnosis. Three of BLAST-CT's published networks, trained on 184 scans of head injuries; how often this "
    "program finds or misses a haemorrhage was not measured on patients.": (
        "仅供研究，不得用于诊断。采用BLAST-CT公开的三个网络（以184例颅脑外伤CT训练）；本程序的检出率与漏诊率未经患者数据验证。"
    ),
    "The three networks do not agree on {what}: alone they mark {volumes} cm³.": "三个网络对{what}的判断不一致：各自标出{volumes} cm³。",
    "haemorrhage of any kind": "有无颅内出血",
    "intraparenchymal haemorrhage": "脑实质内出血",
    "extra-axial haemorrhage": "脑外出血",
    "intraventricular haemorrhage": "脑室内出血",
    "oedema": "水肿",
    "Oedema is undetermined: alone the networks mark {volumes} cm³. They know it beside lesions only; what is dark for another reason "
    "(old infarcts, wide fluid spaces) may be marked.": (
        "水肿不能确定：各网络分别标出{volumes} cm³。网络仅学习过病灶周围的水肿，其他原因的低密度（陈旧梗死、脑外间隙增宽）可能被误标。"
    ),
    "Looked for in {searched} cm³, the inside of the skull and {beyond} mm around it; less than {least} cm³ of a kind in all is taken for "
    "nothing. Small and thin haemorrhages are missed.": (
        "检测范围为颅内及其外{beyond} mm，共{searched} cm³；同类病灶合计不足{least} cm³者不计。小的及薄层出血可能漏检。"
    ),
    # fundus-vessels
    "Research only, not for diagnosis. Published networks, trained on a few dozen photographs from two places; how well they do on others "
    "was not measured.": "仅供研究，不得用于诊断。采用公开的网络（以两处来源的数十张眼底照片训练）；在其他照片上的表现未经验证。",
    "Shares are of the field of view, which cameras have of different widths: compare them only between photographs of one camera and one "
    "field. Nothing here is a length.": (
        "占比均以视野为基数，不同相机的视野宽度不同：仅可在同一相机、同一视野的照片之间比较。此处没有长度值。"
    ),
    "right eye": "右眼",
    "left eye": "左眼",
    "side not stated": "未标明侧别",
    "Image {number} ({side}): of what both networks call artery or vein, they name {agreed} % alike.": (
        "第{number}幅图像（{side}）：两个网络均判为动脉或静脉的像素中，判断一致者占{agreed}%。"
    ),
    "Image {number} ({side}): no pixel is an artery or a vein to both networks.": (
        "第{number}幅图像（{side}）：没有两个网络均判为动脉或静脉的像素。"
    ),
    "it is not stored as an Ophthalmic Photography 8 Bit Image": "图像不是以8位眼科照片类型存储",
    "its header says {stated}": "图像信息标明为{stated}",
    "it is grey": "图像为灰度",
    "red is not its strongest colour": "图像并非以红色为主",
    "there is no round field on a dark ground": "未见暗背景上的圆形视野",
    "its field has {columns} × {rows} pixels, fewer than {least} to a side": "视野为{columns} × {rows}像素，单边不足{least}",
    "{share} % of its field is marked as vessel, on a fundus {least} to {most} %": "视野中{share}%被标为血管，眼底应为{least}至{most}%",
    # mr-brain-structures
    "Research only, not for diagnosis. Published networks, of which one knows the hippocampus alone; how near their volumes are to a "
    "reader's was not measured.": (
        "仅供研究，不得用于诊断。采用公开的网络，其中海马由专用网络标出；所得体积与阅片者测量的接近程度未经验证。"
    ),
    "The images end within the brain: where a part of it is missing, the networks mark less of what is there, too, and volumes may be far "
    "too small.": "图像未包全脑：缺失部分脑组织时，网络对图像内已有的结构也会少标，所得体积可能明显偏小。",
    # mr-glioma
    "Research only, not for diagnosis. Nine published networks, trained on 285 gliomas before treatment (BraTS 2017); nobody knows what "
    "they mark after an operation, of other tumours or lesions, and in children.": (
        "仅供研究，不得用于诊断。采用九个公开的网络（以285例治疗前胶质瘤训练，BraTS 2017）；"
        "术后、其他肿瘤或病变以及儿童的标注结果未经验证。"
    ),
    "Computed at 1 mm in tiles of {slices_in} slices, {slices_out} of them kept, up to {tiles} to a call. The networks normalise by the "
    "statistics of a call's tiles: these sizes are part of the result, as is the noise around the brain (seed {seed}).": (
        "按1 mm分块计算，每块{slices_in}层，保留其中{slices_out}层，每次调用至多{tiles}块。网络按每次调用内各块的统计量归一化："
        "这些尺寸以及脑外的噪声（种子{seed}）均影响结果。"
    ),
    # hippocampus
    "The images do not say which side they show: left and right cannot be told apart.": "图像信息未标明侧别，无法区分左、右侧。",
    # bright-lesion
    "Bright spots were found by threshold and component analysis, not by a trained detector.": (
        "高信号灶由阈值及连通域分析检出，并非经训练的检测模型。"
    ),
    "Looked for in {searched} cm³ of brain, 5 mm from its surface and deeper, from {least} mm³ on. Small and faint lesions are missed; "
    "choroid plexus, vessels and cortex may be marked.": (
        "检测范围为距脑表面5 mm及更深处的{searched} cm³脑组织，病灶体积{least} mm³及以上；"
        "小病灶及信号较淡的病灶可能漏检，脉络丛、血管及皮层可能被误标。"
    ),
    "The {most} largest of {found} are listed; the others are {rest} cm³ together and show on the map.": (
        "共检出{found}个，列出其中最大的{most}个；其余合计{rest} cm³，见分布图。"
    ),
    # left-ventricle
    "The cavity goes on to the last slice at the base: no image shows where the ventricle ends. Volumes at end-diastole and end-systole "
    "are at least those told; stroke volume and ejection fraction are of what is shown, and may be larger or smaller.": (
        "心腔延续至心底侧最外一层：图像未显示心室终止处。舒张末期与收缩末期容积为下限值；每搏输出量与射血分数仅据所示部分，实际可能更高或更低。"
    ),
    "{which}: phase {phase} of {phases}, slices {first} to {last} of {slices} count.": (
        "{which}：第{phase}期（共{phases}期），计入第{first}至{last}层（共{slices}层）。"
    ),
    "{which}: what is marked on slices {left} does not lie over the rest, or is too large beside it, and does not count.": (
        "{which}：第{left}层的标记与其余层面不重叠或相对过大，不计入。"
    ),
    "End-diastole (the largest volume)": "舒张末期（容积最大）",
    "End-systole (the smallest volume)": "收缩末期（容积最小）",
    "The papillary muscles count as cavity.": "乳头肌计入心腔。",
    # cardiac-phase
    "{which} is phase {phase} of {phases}, at {moment}.": "{which}为第{phase}期（共{phases}期），时间{moment}。",
    "{which} is phase {phase} of {phases}.": "{which}为第{phase}期（共{phases}期）。",
    "End-diastole": "舒张末期",
    "End-systole": "收缩末期",
    "Told by how all slices look, and not by a volume: a network that has learned from made cines only, which demonstrates the way of a "
    "study.": "依据全部层面的图像表现判定，并非依据容积；该网络仅用人工合成的电影序列训练，仅供流程演示。",
    # measures
    "Not measured: {what}, because {why}.": "未测量：{what}。原因：{why}。",
    "the mean value": "平均值",
    "what is in HU": "以HU表示的数值",
    "the standard deviation of the values": "标准差",
    "the share of the volume below {limit}": "低于{limit}的体积占比",
    "the share of the volume above {limit}": "高于{limit}的体积占比",
    "the axial diameter": "轴位最长径",
    "the longest diameter in space": "三维最长径",
    "the centroid": "质心",
    "the calibre": "管径",
    "the area of muscle at {level}": "{level}水平肌肉面积",
    "the area of fat at {level}": "{level}水平脂肪面积",
    "the vertebra {level} was not found": "未检出椎体{level}",
    "the vertebra {level} reaches the first or the last image": "椎体{level}延伸至首幅或末幅图像",
    "none of it lies on the slice of the vertebra {level}": "椎体{level}所在层面上没有该结构",
    "it reaches the border of the images": "延伸至图像边缘",
    "it lies in {number} parts": "不连续，分为{number}部分",
    "it is {across} mm across, less than three voxels, {least} mm": "管径为{across} mm，不足三个体素（{least} mm）",
    "its narrowest place is {across} mm across, less than three voxels, {least} mm": "最窄处为{across} mm，不足三个体素（{least} mm）",
    "it is no tube: its middle line is less than three times as long as it is wide": "并非管状结构：中心线长度不足管径的三倍",
    "the ends of the axial diameter": "轴位最长径的端点",
    "the ends of the longest diameter in space": "三维最长径的端点",
    "SUVmax": "最大标准摄取值",
    "SUVpeak": "峰值标准摄取值",
    "these images are no PET": "图像并非PET",
    "no sphere of 1 cm³ around a part of it lies in evenly spaced images": "等间距图像范围内容不下以其中任何一点为中心的1 cm³球体",
    "the values of this PET are in {units}, which no SUV can be made of": "PET像素值的单位为{units}，无法换算为标准摄取值",
    "the values of this PET are counts (CNTS), and the vendor's own factor for them is not read here": (
        "PET像素值为计数，其换算系数载于厂商私有属性，本系统不读取"
    ),
    "SUVType is {word}, not body weight": "标准摄取值类型（0054,1006）为{word}，并非按体重计算",
    "CorrectedImage lacks {words}": "校正项目（0028,0051）缺少{words}",
    "DecayCorrection is {word}, neither START nor ADMIN": "衰变校正方式（0054,1102）为{word}，无法换算",
    "{keyword} is absent": "缺少{keyword}",
    "{keyword} is {value}, which it cannot be": "{keyword}为{value}，不合理",
    "SeriesTime is later than AcquisitionTime: when the scan began is not known": "序列时间晚于采集时间，无法确定扫描起始时间",
    "by DecayFactor, the values are corrected to another time than SeriesTime": "按衰变因子（0054,1321）推算，校正时刻与序列时间不符",
    "the injection was not within 24 hours before the scan": "注射时间不在扫描前24小时以内",
    "RadiopharmaceuticalStartTime and RadiopharmaceuticalStartDateTime do not agree": "两处注射时间（0018,1072与0018,1078）不一致",
    "{number} radiopharmaceuticals are named": "标明的放射性药物有{number}种",
    "the images do not agree on {keyword}": "各图像的{keyword}不一致",
    "the asymmetry of {left} and {right}": "{left}与{right}的不对称性",
    "not both sides were found": "未能检出双侧",
    "a side reaches the border of the images": "其中一侧延伸至图像边缘",
    "the Agatston score": "钙化积分",
    "these images are no CT": "图像并非CT",
    "contrast medium was given": "使用了对比剂",
    "a material was computed out of these images: their HU are not those that were measured": (
        "图像经计算去除了某种物质，其HU值并非实测值"
    ),
    "these images are computed for one energy, which is not said: their HU are not those of a tube voltage": (
        "图像为单能量图像，能量未标明，其HU值不同于常规管电压图像"
    ),
    "these images are computed for one energy, {kev} keV: their HU are not those of a tube voltage": (
        "图像为{kev} keV单能量图像，其HU值不同于常规管电压图像"
    ),
    "the tube voltage is {kv} kV, not 120 kV": "管电压为{kv} kV，而非120 kV",
    "slices are {thick} mm thick and {apart} mm apart, not 3 mm or less": "层厚{thick} mm、层间距{apart} mm，超过3 mm",
    "slices of {thick} mm, {apart} mm apart, cannot be put together to such of 2.5 to 3 mm": (
        "层厚{thick} mm、层间距{apart} mm，无法合并为2.5至3 mm的层面"
    ),
    "the slices are not axial": "图像非轴位",
    "all voxels of a segment are padding": "分割区内均为填充像素",
    "the images do not agree on the unit of their ADCs": "各图像标明的表观扩散系数单位不一致",
    "the values of this ADC map cannot be brought from {unit}, as its header states them, to µm²/s": (
        "此表观扩散系数图的单位标为{unit}，无法换算为µm²/s"
    ),
    "the values of this ADC map are none in {unit}, as its header says": "此表观扩散系数图的像素值与其标明的单位{unit}不符",
    "the values of these images are {kind}, not HU": "图像的像素值为{kind}，而非HU",
    "it is not known here what the values of {modality} images are": "无法确定{modality}图像像素值的含义",
    "the unit of this ADC map is not stated and cannot be told from its values": "此表观扩散系数图未标明单位，也无法由像素值判断",
    "the values of these images have no unit that a threshold could be in": "图像的像素值没有单位，阈值无意义",
    # bundles
    "Not found in these images: {labels}.": "图像中未检出：{structures}。",
    "Marked is what the network gives a probability of {least} or more. The sides of a box are no diameters of what it holds.": (
        "标出网络给出的概率不低于{least}的部位；方框边长并非框内病灶的径线。"
    ),
    "The {most} surest of {sure} boxes are listed.": "共标出{sure}个方框，列出其中概率最高的{most}个。",
    # chest-xray
    "Demonstration grade, research only, not for diagnosis.": "演示级算法，仅供研究，不得用于诊断。",
    "Demonstration grade, research only, not for diagnosis: the network saw {side} × {side} pixels of each image.": (
        "演示级别，仅供研究，不得用于诊断：每幅图像以{side} × {side}像素输入网络。"
    ),
    "It was trained on frontal chest radiographs of children of one to five years (8-bit JPEG pictures from one hospital) and never "
    "validated on DICOM radiographs.": ("模型以1至5岁儿童胸部正位X线片（单中心，8位JPEG图像）训练，未经DICOM格式X线片验证。"),
    "It says whether, not where: no part of an image is pointed at.": "仅判断有无，不提示部位，不在图像上作任何标注。",
    "Image {number} ({view}): the probability is calibrated; pneumonia is called absent below {low} %, present from {high} %, undetermined "
    "between.": "第{number}幅图像（{view}）：概率经过校准；低于{low} %判为未见肺炎，{high} %及以上判为可见肺炎，介于两者之间为不能确定。",
    "view not stated, taken for frontal": "未注明投照体位，按正位处理",
    # asked for beside the answer
    "{what} was asked for and is not in these results: it could not be computed ({why}).": "{what}未能计算（{why}），本结果中没有。",
    "What moved the answers": "所要求的判断依据",
    "How unsure the network is of each voxel": "所要求的逐体素不确定度",
    "the attempts before did not end": "此前的尝试未能完成",
    # lung-nodule
    "Research only, not for diagnosis. The network was trained on planted nodules of 4 to 20 mm and has seen no real one.": (
        "仅供研究，不得用于诊断。网络以人工植入的4～20 mm结节训练，未见过真实结节。"
    ),
    "Looked for in {searched} cm³ of lung and its margin. Nodules are missed, and vessels and scars may be marked. What is longer than "
    "{most} mm is not reported: a mass would be missed.": (
        "检测范围为{searched} cm³肺组织及其边缘；结节可能漏检，血管及瘢痕可能被误标。长径大于{most} mm者不予报告，肿块会被遗漏。"
    ),
    "The rating is what readers of LIDC-IDRI would say of the outline's size and form, 1 (unlikely) to 5 (suspicious), learned from "
    "{nodules} of their nodules. It is no probability of cancer: of most of those nobody knows what they were. Its interval is of "
    "readers' outlines, not of the network's.": (
        "评分为LIDC-IDRI阅片者依轮廓大小及形态可能给出的评分，1分（不像）至5分（可疑），由其{nodules}个结节学得。评分并非恶性概率："
        "其中多数结节的性质无人知晓。所列区间针对阅片者勾画的轮廓，而非网络的轮廓。"
    ),
    "Nodule {number} reaches the first or the last image: it may be larger than what was measured, and is not rated.": (
        "结节{number}达到首幅或末幅图像：可能大于测量值，故不予评分。"
    ),
    "Not rated is nodule {number}: LIDC's readers outlined hardly any of its size.": "结节{number}未评分：LIDC阅片者极少勾画此大小的结节。",
    "The lungs reach the first or the last image: what of them lies beyond was not looked at.": (
        "肺组织达到首幅或末幅图像，图像以外的部分未纳入检测。"
    ),
    "The {most} surest of {sure} are listed; the others are not, and the follow-up does not count them.": (
        "共检出{sure}个，列出确信度最高的{most}个；其余未列出，亦不计入随访建议。"
    ),
    "Not measured: {count} marked that may be a mass, longer than {most} mm, about slice {images} of {all} from the feet on. Look there.": (
        "有{count}处标记长径大于{most} mm，可能为肿块，未作测量：约在自足侧起第{images}层（共{all}层），请查看。"
    ),
    "No follow-up category: {against} ({source}).": "不给出随访分类：{against}（{source}）。",
    "a nodule of the prior may have grown beyond {most} mm, and was not measured": "既往的一个结节可能已增大至{most} mm以上，未作测量",
    "what is longer than {most} mm and may be a mass was marked, and not measured": "有长径大于{most} mm的标记，可能为肿块，未作测量",
    "the patient is {years} years old, and the guideline is for adults from {youngest} years on": (
        "患者{years}岁，指南适用于{youngest}岁及以上成人"
    ),
    "one measures {largest} mm on average: above {most} mm it is a mass, and no nodule": (
        "有一处平均径{largest} mm，大于{most} mm者为肿块而非结节"
    ),
    "Follow-up is for nodules found by chance, from {youngest} years on{unknown}; not for screening, known cancer or weak immunity, of "
    "which nothing is known here.": (
        "随访建议适用于{youngest}岁及以上偶然发现的结节{unknown}；不适用于筛查、已知恶性肿瘤或免疫功能低下者，此类情况本软件无从得知。"
    ),
    " (the age is not in the images)": "（图像信息中无年龄）",
    "Nodule {number}, {meaning}: {recommended}.": "结节{number}，{category}：{recommended}。",
    "Follow-up is by the table of the {source}.": "随访建议依据{source}。",
    "Were this a first screening CT, the most suspicious by size and density alone would be nodule {number}, category {category}: "
    "{managed} ({source}); calcium, fat, its place and growth, which change categories, are not judged.": (
        "若为首次筛查CT，仅按大小及密度，最可疑者为结节{number}，分类{category}：{managed}（{source}）；钙化、脂肪、部位及生长情况会改变分类，未作判断。"
    ),
    "Were the prior the last screening CT, the most suspicious by size, density and growth alone would be nodule {number}, "
    "category {category}: {managed} ({source}). One that was not found before counts as what it would be if new, or if missed; "
    "calcium, fat and its place, which change categories, are not judged; one that stays the same may have a lower one.": (
        "若既往CT为上一次筛查，仅按大小、密度及生长情况，最可疑者为结节{number}，分类{category}：{managed}（{source}）。既往未检出者按新发及漏检两种"
        "情形计；钙化、脂肪及部位会改变分类，未作判断；无变化者分类可能更低。"
    ),
    "low-dose CT at 12 months": "12个月后低剂量CT",
    "low-dose CT at 6 months": "6个月后低剂量CT",
    "low-dose CT at 3 months; PET/CT may be considered with 8 mm or more of solid": ("3个月后低剂量CT；实性成分达8 mm者可考虑PET/CT"),
    "diagnostic CT, PET/CT with 8 mm or more of solid, tissue sampling or referral": (
        "诊断性CT、PET/CT（实性成分达8 mm者）、组织取样或转诊"
    ),
    "low risk: {low}; high risk: {high}": "低危：{low}；高危：{high}",
    "no routine follow-up": "无需常规随访",
    "optional CT at 12 months": "可选择12个月后复查CT",
    "CT at 3-6 months; if stable, consider CT at 2 and 4 years": "3～6个月后复查CT；若稳定，可考虑于2年及4年时复查CT",
    "CT at 6-12 months, then consider CT at 18-24 months": "6～12个月后复查CT，之后可考虑于18～24个月时复查CT",
    "CT at 6-12 months, then CT at 18-24 months": "6～12个月后复查CT，之后于18～24个月时复查CT",
    "consider CT at 3 months, PET/CT or tissue sampling": "可考虑3个月后复查CT、PET/CT或组织活检",
    "CT at 3-6 months, then consider CT at 18-24 months": "3～6个月后复查CT，之后可考虑于18～24个月时复查CT",
    "CT at 3-6 months, then CT at 18-24 months": "3～6个月后复查CT，之后于18～24个月时复查CT",
    "CT at 6-12 months to confirm that it persists, then CT every 2 years until 5 years": (
        "6～12个月后复查CT以确认持续存在，之后每2年复查CT，至5年"
    ),
    "CT at 3-6 months to confirm that it persists; if unchanged and the solid part stays below 6 mm, CT every year for 5 years": (
        "3～6个月后复查CT以确认持续存在；若无变化且实性成分仍小于6 mm，每年复查CT，共5年"
    ),
    "consider CT at 3-6 months; one that persists is highly suspicious, and where it looks so, grows, or has more than 8 mm of solid: "
    "PET/CT, biopsy or resection": ("可考虑3～6个月后复查CT；持续存在者高度可疑，若形态可疑、增大或实性成分大于8 mm：PET/CT、活检或切除"),
    "CT at 3-6 months, then by the most suspicious nodule": "3～6个月后复查CT，之后依最可疑的结节处理",
    "Growth is undetermined, nothing was compared with the prior: {why}.": "生长情况不能确定，未与既往图像比较：{why}。",
    "it is later than these images": "其时间晚于本次图像",
    "what lays one CT on another is not installed in this node": "本节点未安装图像配准组件",
    "{why} [{code}]": "{why} [{code}]",
    "Compared with the prior CT, of which nobody knows how much earlier it is.": "已与既往CT比较，两次检查的间隔不明。",
    "Compared with the prior CT of {date}, {days} days before.": "已与{date}的既往CT比较，间隔{days}天。",
    "Growth is undetermined: {why}.": "生长情况不能确定：{why}。",
    "Growth of nodule {number} is undetermined: {why}.": "结节{number}的生长情况不能确定：{why}。",
    "Nodule {number} was not found on the prior: it is new, or was missed there.": "结节{number}在既往图像上未检出：为新发，或当时漏检。",
    "Where nodule {number} is, the prior was not looked at: it shows no lung there.": (
        "既往图像未包括结节{number}所在处的肺组织，未作比较。"
    ),
    "A nodule is matched with what lies up to {reach} mm away once the prior is laid on; breaths differ, and nothing is bent. "
    "Growth is told of solid ones from 25 % of volume on, of others from 2 mm of mean diameter on; shrinkage alike ({sources}). "
    "It says nothing of cancer.": (
        "既往图像对齐后，以相距{reach} mm以内者为同一结节；两次呼吸不同，未作形变校正。实性结节体积变化达25 %、"
        "其他结节平均径变化达2 mm者计为增大或缩小（{sources}）。生长情况不说明是否恶性。"
    ),
    "A nodule of {mm} mm of the prior (slice {image} of {images} from the feet on) lies where today's CT shows no lung.": (
        "既往图像（自足侧起第{image}层，共{images}层）有一个{mm} mm结节，本次CT未包括该处肺组织。"
    ),
    "Where a nodule of {mm} mm of the prior was (slice {image} of {images} from the feet on; about slice {here} of {now} of today's), "
    "today's CT has a mark longer than {most} mm that is not measured: the nodule may have grown so far. Look at it.": (
        "既往图像（自足侧起第{image}层，共{images}层；约本次第{here}层，共{now}层）有一个{mm} mm结节，本次CT该处的标记长径大于{most} mm，"
        "未作测量：该结节可能已增大至此，请查看。"
    ),
    "Where a nodule of {mm} mm of the prior was (slice {image} of {images} from the feet on; about slice {here} of {now} of today's), "
    "today's CT shows no air-bearing lung: a mass, collapse or fluid may hide it, or it grew. Look at it.": (
        "既往图像（自足侧起第{image}层，共{images}层；约本次第{here}层，共{now}层）有一个{mm} mm结节，本次CT该处无含气肺组织："
        "可能被肿块、肺不张或积液遮盖，或已增大，请查看。"
    ),
    "Of a nodule of {mm} mm of the prior (slice {image} of {images} from the feet on) today's CT has but an unsure mark.": (
        "既往图像（自足侧起第{image}层，共{images}层）有一个{mm} mm结节，本次CT该处仅有不确定的标记。"
    ),
    "Not found again is a nodule of {mm} mm of the prior (slice {image} of {images} from the feet on; about slice {here} of {now} "
    "of today's): it is gone, or was missed.": (
        "既往图像（自足侧起第{image}层，共{images}层；约本次第{here}层，共{now}层）的一个{mm} mm结节未再检出：已消失，或漏检。"
    ),
    "several of the prior, or none, may be this one": "既往图像上可能有数个与之对应，也可能没有",
    "{count} of the prior lie where it is": "既往图像上有{count}个结节位于该处",
    "one of the prior lies where this and others are": "既往图像上的一个结节位于该结节及其他结节处",
    "the prior has a mark there that is longer than {most} mm, and was not measured": "既往图像该处的标记长径大于{most} mm，未作测量",
    "the prior shows no air-bearing lung there, in which it could have been found": "既往图像该处无含气肺组织，无法检出",
    "the prior has a mark there that is too unsure to be one": "既往图像该处有标记，但不足以确定为结节",
    "its volume and its diameter do not tell the same": "体积与直径的变化不一致",
    "at one of the visits it has less than {least} mm³, of which a quarter is a few voxels": (
        "其在某次检查中体积不足{least} mm³，四分之一仅为数个体素"
    ),
    "its solid part is {now} mm long and was {then} mm, and the whole did not change likewise": (
        "实性成分长{now} mm，既往为{then} mm，而整体未相应变化"
    ),
    "it reaches the first or the last image of a visit": "达到某次检查的首幅或末幅图像",
    "its density class was another": "密度分类与既往不同",
    "when {which} was acquired is not said, or not alike": "{which}的采集日期未注明或不一致",
    "either": "两次CT",
    "the prior": "既往CT",
    "the current CT": "本次CT",
    "{days} days lie between the visits, fewer than {least}": "两次检查间隔{days}天，少于{least}天",
    "how thick the slices are is not said of both visits": "两次检查的层厚未全部注明",
    "slices are {now} mm thick, and were {then} mm": "层厚为{now} mm，既往为{then} mm",
    "slices are {now} mm apart, and were {then} mm": "层间距为{now} mm，既往为{then} mm",
    "with which kernel it was reconstructed is said of neither visit, or not alike": "两次检查的卷积核均未注明或不一致",
    "the kernel is {now}, and was {then}": "卷积核为{now}，既往为{then}",
    "not said": "未注明",
    "Slices are {found}, the guideline measures on {thin} mm: sizes and densities are approximate.": (
        "{found}，而指南要求在{thin} mm层厚上测量，故大小及密度为近似值。"
    ),
    "{size} apart": "层间距{size}",
    "{size} thick": "层厚{size}",
    # what else looks so
    "Intraparenchymal haemorrhage: calcifications and, after endovascular treatment, contrast medium in the tissue look alike on "
    "CT ({source}).": "脑实质内出血：钙化以及血管内治疗后脑组织内的对比剂在CT上表现相似（{source}）。",
    "Extra-axial haemorrhage: metastases, lymphoma and infection of the dura look like subdural blood on CT, and the fluid spaces "
    "of a swollen brain like subarachnoid blood ({source}).": (
        "脑外出血：硬脑膜转移瘤、淋巴瘤及感染在CT上可似硬膜下出血，脑肿胀时的脑脊液腔隙可似蛛网膜下腔出血（{source}）。"
    ),
    "Intraventricular haemorrhage: a calcified choroid plexus looks alike on CT ({source}).": (
        "脑室内出血：脉络丛钙化在CT上表现相似（{source}）。"
    ),
    "Oedema: that of an infarct, that around tumours and abscesses and that of hydrocephalus are dark alike on CT ({source}).": (
        "水肿：脑梗死、肿瘤及脓肿周围、脑积水所致的水肿在CT上均为低密度（{source}）。"
    ),
    "Lung nodule: infectious granulomas and hamartomas look like tumours on CT, as do lymph nodes in the lung ({source}).": (
        "肺结节：感染性肉芽肿、错构瘤及肺内淋巴结在CT上均可似肿瘤（{source}）。"
    ),
    "Pneumonia: tumours, oedema and infarction of the lung, alveolar haemorrhage, reactions to drugs and organising pneumonia look "
    "alike on radiographs ({source}).": "肺炎：肺肿瘤、肺水肿、肺梗死、肺泡出血、药物性肺损伤及机化性肺炎在X线片上表现相似（{source}）。",
    "Lesions of the brain: vascular disease of age, multiple sclerosis and neuromyelitis optica look alike on MR ({source}).": (
        "脑内病灶：年龄相关的脑血管病、多发性硬化及视神经脊髓炎在MR上表现相似（{source}）。"
    ),
    # what pictures show
    "sagittal plane": "矢状面",
    "coronal plane": "冠状面",
    "axial plane": "横断面",
    "map, {image}": "分布图，{image}",
    "current, {image}": "本次，{image}",
    "prior, aligned": "既往，已配准",
    "prior, bent": "既往，已形变",
    "current / prior": "本次/既往",
    "{image}, marked": "{image}，已标记",
    "{number}, enlarged": "{number}，放大",
    # MR that is made
    "Noise, estimated at {share} % of the median in the head, was reduced by a neural network.": (
        "图像噪声（估计为头部中位信号的{share} %）已由神经网络降低。"
    ),
    "Small or faint structures may be lost or altered: read the original images, never these alone.": (
        "细小或信号较淡的结构可能丢失或改变，请以原始图像为准，不可单独阅读本序列。"
    ),
    "Slices of {apart} mm were made into slices {fine} mm apart by a neural network: they were not acquired.": (
        "神经网络由间距{apart} mm的层面生成了间距{fine} mm的层面：这些层面并非实际采集。"
    ),
    "Small things may be invented or lost between the acquired slices: read the original images, never these alone.": (
        "采集层面之间的细小结构可能系虚构或丢失，请以原始图像为准，不可单独阅读本序列。"
    ),
    "The prior was moved by {moved} mm and turned by {turned} degrees onto the current images; normalised mutual information {likeness} "
    "(1 to 2).": "既往图像经平移{moved} mm、旋转{turned}°后与本次图像对齐；归一化互信息{likeness}（取值1～2）。",
    "The prior resembles the current images little (other contrast, or much has changed): check the alignment by eye.": (
        "既往图像与本次图像相似度低（对比不同，或变化较大），请目视核对配准结果。"
    ),
    "The prior covers {covered} % of the body in the current images; it is black elsewhere.": (
        "既往图像覆盖本次图像中体部的{covered} %，其余部分显示为黑色。"
    ),
    "The prior was bent to fit the current images, by {often} mm or less in 95 % of the body and by {most} mm at most: what "
    "changed between the visits is bent away with the rest. Read the original prior images, never these alone.": (
        "既往图像经形变以符合本次图像：体部95 %的位置形变不超过{often} mm，最大{most} mm；两次检查之间的变化亦随之被消除。"
        "请阅读既往原始图像，不可单独阅读本序列。"
    ),
    "Heads that were moved and not bent come out bent by 0.8 mm in 95 % of the body, and by 2.5 mm at most: less than that tells "
    "of no change. New lesions were not looked for.": (
        "仅移动而未形变的头部，配准后体部95 %的位置也会出现0.8 mm以内、最大2.5 mm的形变：小于此值不说明有变化。未查找新发病灶。"
    ),
    "The prior was bent far: check by eye what differs there.": "既往图像形变较大，请目视核对该处差异。",
    "The prior lay far from the current images: check the alignment by eye.": "既往图像与本次图像位置相距较远，请目视核对配准结果。",
}
"""Names of programs, data sets and guidelines stay as their owners write them."""
