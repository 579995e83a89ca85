"""Chinese (Simplified) of coded concepts, by scheme and value, and of the sentences that hilum says of its own, by their templates.

A concept that is not here keeps its English meaning and its code; a test finds the sentences of the source that lack one.
"""

import re
from collections.abc import Mapping

from inference.codes import Code
from inference.translatable import LABEL, Translatable, Value
from node.results.narrative.anatomy_chinese import ANATOMY
from node.results.narrative.reasons_chinese import because
from node.results.narrative.remarks_chinese import REMARKS

TERMS: Mapping[str, Mapping[str, str]] = {
    "SCT": {
        **ANATOMY,
        # sides
        "7771000": "左",
        "24028007": "右",
        "51440002": "双侧",
        "66459002": "单侧",
        # presence (CID 240)
        "52101004": "有",
        "272519000": "无",
        "373068000": "不能确定",
        "442714003": "大小差异",
        "15454001": "增大",
        "19776001": "缩小",
        "129723006": "无明显变化",
        # kinds of structures
        "91723000": "解剖结构",
        "49755003": "形态异常结构",
        "85756007": "组织",
        # anatomy
        "12738006": "脑",
        "1101003": "颅内腔",
        "69536005": "头部",
        "35764002": "脑室",
        "1231004": "脑膜",
        "89546000": "颅骨",
        "81745001": "眼",
        "45048000": "颈部",
        "51185008": "胸部",
        "816094009": "胸部",
        "39607008": "肺",
        "74101002": "双肺",
        "80891009": "心脏",
        "15825003": "主动脉",
        "87878005": "左心室",
        "44567001": "气管",
        "32849002": "食管",
        "76752008": "乳腺",
        "113197003": "肋骨",
        "51282000": "椎骨",
        "421060004": "脊柱",
        "818981001": "腹部",
        "816092008": "盆腔",
        "10200004": "肝",
        "78961009": "脾",
        "64033007": "肾",
        "15776009": "胰腺",
        "69695003": "胃",
        "28231008": "胆囊",
        "41216001": "前列腺",
        "38848004": "十二指肠",
        "23451007": "肾上腺",
        "71854001": "结肠",
        "30315005": "小肠",
        "272673000": "骨",
        "71616004": "肌肉",
        "59441001": "淋巴结",
        "51114001": "动脉",
        "29092000": "静脉",
        "5665001": "视网膜",
        "113305005": "小脑",
        "5366008": "海马",
        "42695009": "丘脑",
        "389080008": "白质",
        "389081007": "灰质",
        "72696002": "膝关节",
        "29836001": "髋部",
        "16982005": "肩部",
        "85562004": "手",
        "56459004": "足",
        # findings
        "52988006": "病变",
        "27925004": "结节",
        "4147007": "肿块",
        "367643001": "囊肿",
        "108369006": "肿瘤",
        "50960005": "出血",
        "1386000": "颅内出血",
        "35566002": "血肿",
        "79654002": "水肿",
        "36118008": "气胸",
        "60046008": "胸腔积液",
        "233604007": "肺炎",
        "287272002": "心脏增大",
        "36222008": "钙化",
        "415582006": "狭窄",
        "396339007": "血栓",
        # measurements
        "118565006": "体积",
        "42798000": "面积",
        "410668003": "长度",
        "103355008": "宽度",
        "131197000": "深度",
        "81827009": "直径",
        "103339001": "长径",
        "103340004": "短径",
        "131187009": "长轴",
        "131188004": "短轴",
        "131191004": "周长",
        "1483009": "角度",
        "450360000": "冠状动脉钙化积分",
        "70822001": "心脏射血分数",
        "416190007": "舒张末期",
        "416430001": "收缩末期",
        "90096001": "每搏输出量",
        # statistics
        "373098007": "平均",
        "255605001": "最小",
        "56851009": "最大",
        "373099004": "中位",
        "386136009": "标准差",
        "255619001": "总",
    },
    "DCM": {
        "112031": "衰减系数",
        "112058": "钙化积分",
        "113041": "表观扩散系数",
        "126031": "峰值",
        "126401": "SUVbw",
        "110852": "MR信号强度",
        "111012": "发现的确信度",
        "121071": "发现",
        "122157": "概率",
        "130403": "梯度加权类激活",
        "130404": "显著性",
        "113085": "空间重采样",
        "113086": "边缘增强",
        "113087": "平滑",
        "123110": "人工智能",
        "123104": "形态学运算",
        "123106": "多尺度滤波",
        "111053": "建议随访",
        "111049": "与既往比较",
        "128138": "质心",
        "128141": "边界点",
        "121207": "高度",
    },
    "LN": {
        "8821-1": "左心室舒张末期容积",
        "8823-7": "左心室收缩末期容积",
    },
    "NCIt": {
        "C41144": "密度",
        "C113842": "强化病灶",
    },
    "RADLEX": {
        "RID50151": "实性结节",
        "RID50152": "部分实性结节",
        "RID50153": "磨玻璃结节",
    },
    "IBSI": {
        "L0JK": "三维最长径",
    },
    "99HILUM": {
        "SOLID-DIAMETER": "实性成分最长径",
        "LIDC-RATING": "LIDC阅片者评分（1～5，非恶性概率）",
        "NOT-ON-PRIOR": "既往图像未检出",
        "NOT-COVERED": "既往图像未包括该处",
        "DOUBLING-TIME": "体积倍增时间",
        "ASYMMETRY": "体积不对称性（左减右）",
        "ABC-HALF": "最大出血灶的ABC/2",
        "VESSEL-SHARE": "血管占视野比例",
        "ARTERY-SHARE": "动脉占视野比例",
        "VEIN-SHARE": "静脉占视野比例",
        "VESSEL-PARTS": "血管的独立部分数",
        "ENTROPY": "归一化类别概率熵",
        "BENT-P95": "95%的体部因形变的位移不超过",
        "BENT-MOST": "既往图像形变的最大位移",
        "BENT-OVER-2MM": "形变位移大于2 mm的体部占比",
        "FOLDED": "形变折叠处占移动位置的比例",
        "CORR-RIGID": "形变前灰度相关系数",
        "CORR-BENT": "形变后灰度相关系数",
        "LWNET-042": "概率大于0.42，网络以DRIVE训练",
        "LWNET-AV": "两个网络的平均，分别以DRIVE和HRF训练",
        "PARTS-8-50": "相连像素，在512 × 512上不少于50个",
        "CENTROID": "质心：体素位置按所占体积的平均",
        "AXIAL-END": "轴位最长径的端点",
        "END": "三维最长径的端点",
        # rows of the Fleischner Society's table of 2017
        "F17-S1-LT6": "单发实性结节，<6 mm（Fleischner 2017）",
        "F17-S1-6TO8": "单发实性结节，6-8 mm（Fleischner 2017）",
        "F17-S1-GT8": "单发实性结节，>8 mm（Fleischner 2017）",
        "F17-SN-LT6": "多发实性结节，<6 mm（Fleischner 2017）",
        "F17-SN-6TO8": "多发实性结节，6-8 mm（Fleischner 2017）",
        "F17-SN-GT8": "多发实性结节，>8 mm（Fleischner 2017）",
        "F17-G1-LT6": "单发磨玻璃结节，<6 mm（Fleischner 2017）",
        "F17-G1-GE6": "单发磨玻璃结节，≥6 mm（Fleischner 2017）",
        "F17-P1-LT6": "单发部分实性结节，<6 mm（Fleischner 2017）",
        "F17-P1-GE6-LT6": "单发部分实性结节，≥6 mm，实性成分<6 mm（Fleischner 2017）",
        "F17-P1-GE6-GE6": "单发部分实性结节，≥6 mm，实性成分≥6 mm（Fleischner 2017）",
        "F17-UN-LT6": "多发亚实性结节，<6 mm（Fleischner 2017）",
        "F17-UN-GE6": "多发亚实性结节，≥6 mm（Fleischner 2017）",
    },
}


_UNITS = {"HU": "HU", "UM2/S": "µm²/s", "SUVBW": "g/mL（SUV）"}
_SHARE = re.compile(rf"(LT|GT)(-?[0-9.]+)-({'|'.join(_UNITS)})")
"""The code of a share of a volume below or above a threshold, which it says (`inference.imaging.measures.values`)."""


_AREA = re.compile(r"(MUSCLE|FAT)-AREA-([CTL]\d+)")
"""The code of an area at a vertebra (`inference.imaging.measures.composition`)."""


def chinese(value: str, scheme: str) -> str | None:
    """The term; None where nobody has translated the concept."""
    area = _AREA.fullmatch(value) if scheme == "99HILUM" else None
    if area is not None:
        return f"{area[2]}水平{'肌肉' if area[1] == 'MUSCLE' else '脂肪'}面积"
    share = _SHARE.fullmatch(value) if scheme == "99HILUM" else None
    if share is not None:
        side, limit, unit = share.groups()
        return f"{'低于' if side == 'LT' else '高于'} {limit} {_UNITS[unit]}的体积占比{'（按阈值规则）' if unit == 'UM2/S' else ''}"
    return TERMS.get(scheme, {}).get(value)


LABELS: Mapping[str, str] = {
    "hippocampus anterior": "海马前部",
    "hippocampus posterior": "海马后部",
    "bright contrast": "高信号对比度",
    "denoised, research": "降噪，仅供研究",
    "thin slices by a network, not acquired, research": "网络生成的薄层，非采集，仅供研究",
    "prior on current": "既往图像对齐至本次图像",
    "prior bent to current": "既往图像形变至本次图像",
    "intraparenchymal haemorrhage": "脑实质内出血",
    "extra-axial haemorrhage": "脑外出血",
    "intraventricular haemorrhage": "脑室内出血",
    "oedema": "水肿",
    "whole tumour with oedema": "全肿瘤（含水肿）",
    "tumour core": "肿瘤核心",
    "enhancing tumour": "强化肿瘤",
    "vessels": "血管",
    "arteries": "动脉",
    "veins": "静脉",
    "Grad-CAM": "Grad-CAM",
    "Occlusion sensitivity": "遮挡敏感度",
    "Entropy": "熵",
}
"""Labels of structures, maps and series of the applications that come with hilum, where codes do not say it all."""


_OF_SEVERAL = frozenset({"28641004", "367643001", "40388003", "41699000", "47351003", "51282000", "55603005", "59820001", "108369006"})
"""Codes that say what, and not which: a phalanx, a cyst, an implant, an effusion, an infiltrate, a vertebra, fat, a vessel, a neoplasm."""


def structure(label: str, what: Code, laterality: Code | None) -> str:
    """A structure by its label, where that has a word; else by its codes, with its label where they do not say which one; else by that."""
    term = chinese(what.value, what.scheme)
    if label in LABELS or term is None:
        return LABELS.get(label, label)
    which = f"（{label}）" if what.value in _OF_SEVERAL and label else ""
    return f"{chinese(laterality.value, laterality.scheme) or '' if laterality else ''}{term}{which}"


SENTENCES: Mapping[str, str] = {
    # marks before a title
    "INCOMPLETE": "不完整",
    "INCOMPLETE {came} of {expected}": "不完整（{expected}中的{came}）",
    "Revision {revision}": "修订版{revision}",
    # windows of pictures, and the prior
    "{tissue} C {centre} W {width}": "{tissue} C {centre} W {width}",
    "soft tissue": "软组织窗",
    "lung": "肺窗",
    "bone": "骨窗",
    "vessels": "血管窗",
    "0 to {high}, dark is high": "0至{high}，深色为高值",
    "not aligned, not shown": "未配准，未显示",
    "No result": "无结果",
    "Withdrawn": "撤回",
    # what was looked at, and what was not
    "1 of {of} instances is no image and was not looked at ({kinds}).": "{of}个实例中有1个不含图像，未纳入分析。",
    "{number} of {of} instances are no images and were not looked at ({kinds}).": "{of}个实例中有{number}个不含图像，未纳入分析。",
    "1 of {of} instances is a screen capture, no slice, and was not looked at.": "{of}个实例中有1个为截屏，未纳入分析。",
    "{number} of {of} instances are screen captures, no slices, and were not looked at.": "{of}个实例中有{number}个为截屏，未纳入分析。",
    "{number} of {of} instances are localizers and were not looked at.": "{of}个实例中有{number}个为定位像，未纳入分析。",
    "Analysed over time: {number} phases from {first} to {last}.": "按时间序列分析：共{number}个时相，自{first}至{last}。",
    "Left out of the phases: {series} ({why}).": "未纳入时相分析的序列：{series}（{why}）。",
    "The images say in which order their phases are, and not when: no time is given.": "图像仅标明时相顺序，未标明时间，故不给出时间。",
    "The images cover {ms} ms and do not state how long a beat is: they may show more than one.": (
        "图像覆盖{ms} ms，但未标明心动周期时长：可能包含多个心动周期。"
    ),
    "The images cover another time from slice to slice ({least} to {most} ms): a phase is one share of each beat.": (
        "各层面图像覆盖的时间不同（{least}～{most} ms）：同一时相指各自心动周期的同一比例。"
    ),
    "Analysed together, each role with the number of its series: {filled}.": "合并分析的序列（角色及序列号）：{filled}。",
    "Analysed without {roles}: there was no such series.": "未包含{roles}：无相应序列。",
    "Analysed without {roles}: there was no such image.": "未包含{roles}：无相应图像。",
    "{number} of {of} images of side {side} show none of {roles} and were not looked at.": (
        "{side}侧{of}幅图像中有{number}幅不属于{roles}，未纳入分析。"
    ),
    "{number} of {of} images show none of {roles} and were not looked at.": "{of}幅图像中有{number}幅不属于{roles}，未纳入分析。",
    "Some of the images were not looked at: {why}.": "部分图像未予分析：{why}。",
    "{role} was left out: {why} [{code}]": "{role}未纳入分析：{because}（{code}）。",
    "{role} covers {covered} % of the images that results lie on.": "{role}仅覆盖结果所在图像的{covered}%。",
    "{role} was registered: moved by {moved} mm and turned by {turned} degrees.": "{role}已配准：平移{moved} mm，旋转{turned}度。",
    "{number} of {of} instances are loops and were not looked at.": "{of}个实例中有{number}个为动态图像，未纳入分析。",
    "{number} of {of} instances are single images and were not looked at.": "{of}个实例中有{number}个为单幅图像，未纳入分析。",
    "{number} of {of} images are no frontal views of a chest and were not looked at.": (
        "{of}幅图像中有{number}幅不是胸部正位片，未纳入分析。"
    ),
    "Of {number} volumes the one without diffusion weighting (b 0) alone was looked at.": (
        "共{number}组容积图像，仅分析未加扩散权重的一组（b=0）。"
    ),
    "loop {number} of {of}": "第{number}段动态图像，共{of}段",
    "slice {number} of {of}": "第{number}层，共{of}层",
    "A calibrated region reaches beyond the image or has no scale: it is not used.": "有一个标定区域超出图像范围或缺少比例尺，未予采用。",
    "Voxels are {spacing} mm apart: volumes are approximate.": "体素间距{spacing} mm，体积为近似值。",
    "The slices lie {least} to {most} mm apart: in volumes each counts half the way to both its neighbours.": (
        "层间距{least}～{most} mm不等；计算体积时，每层按至相邻两层各一半的距离计。"
    ),
    "The gantry was tilted by {tilt} degrees: masks lie on the slices as acquired. Programs that stack slices without correcting the tilt "
    "(3D Slicer, dcmqi) show them wrongly or not at all.": (
        "扫描机架倾斜{tilt}°，分割结果按原始采集层面给出；不校正倾角而直接堆叠各层的软件（3D Slicer、dcmqi）会显示错误或无法显示。"
    ),
    # whose images these are
    "PatientName": "患者姓名",
    "PatientBirthDate": "出生日期",
    "PatientSex": "性别",
    "AccessionNumber": "检查号",
    "The images of this series do not agree in {attributes}: make sure that they are of one patient.": (
        "本序列各图像的{attributes}不一致，请核实是否属于同一患者。"
    ),
    "This study and the prior do not agree in {attributes}: make sure that they are of one patient.": (
        "本次检查与既往检查的{attributes}不一致，请核实是否属于同一患者。"
    ),
    "{several} and {last}": "{several}及{last}",
    "{several}, {last}": "{several}、{last}",
    # whether all of it came
    "{mark}: not all instances of the series came; {why}.": "序列不完整：{shortage}。",
    (
        "{mark}: not all instances of the series came; {why}. No volume is given, and nothing is measured of the whole or of its "
        "structures: any of them may be cut."
    ): "序列不完整：{shortage}。因结构可能被截断，未给出体积，也未给出整体及各结构的测量值。",
    "The series may be incomplete: {shortage}.": "序列可能不完整：{shortage}。",
    "{came} of {expected} instances came: {why}": "应收{expected}个实例，实收{came}个（{why}）",
    "{came} instances came: {why}": "实收{came}个实例（{why}）",
    "the node refused the others or cannot read them, and they were not sent again": "其余实例被节点拒收或无法读取，之后未再发送",
    "the sender lists more": "发送方登记的数量多于实收数量",
    "slices are missing between others": "中间缺少层面",
    "the transfer broke off": "传输中断",
    "Values of {date} are left out: that study has several results, and nothing tells which is meant.": (
        "未列出{date}的数值：该次检查有多个结果，无法判断应采用哪一个。"
    ),
    "Instance numbers run from {first} to {last}, and {missing} of them did not come: images may be missing.": (
        "图像编号为{first}至{last}，其中{missing}个未收到，图像可能不完整。"
    ),
    "The images say that their acquisition has {listed}, and {came} came: images may be missing.": (
        "图像注明本次采集共{listed}幅，实收{came}幅，图像可能不完整。"
    ),
    "The images name {listed} temporal positions, and those of {came} came: images may be missing.": (
        "图像注明共{listed}个时相，实收{came}个时相，图像可能不完整。"
    ),
    # what it replaces
    "This is revision {revision}: it replaces the result{made}, which another version or other models made of the same images.": (
        "本报告为第{revision}版，取代{made}由其他版本或其他模型依据相同图像得出的结果。"
    ),
    "This is revision {revision}: it replaces the result{made}, which was made from other images.": (
        "本报告为第{revision}版，取代{made}依据其他图像得出的结果。"
    ),
    "This is revision {revision}: it replaces the result{made}, which said of the same images that some may be missing.": (
        "本报告为第{revision}版，取代{made}依据相同图像得出、并注明图像可能不完整的结果。"
    ),
    "1 instance of this series that came from {sender} is held and was not analysed.": (
        "本序列有 1 个来自{sender}的实例被搁置，未参与分析。"
    ),
    "{count} instances of this series that came from {sender} are held and were not analysed.": (
        "本序列有 {count} 个来自{sender}的实例被搁置，未参与分析。"
    ),
    "This result replaces the note{made} that there was none.": "本结果取代{made}“无结果”的说明。",
    " of {moment} UTC": "{moment}（UTC）",
    "": "",
    # whether the picture is what the model was made for
    "The images do not say how they were weighted: look at whether they are {contrast}.": (
        "图像未说明其加权方式：请查看是否为{contrast}图像。"
    ),
    "The images say that they show {named}, not the {part}: check that this analysis is meant for them.": (
        "图像信息标明的检查部位为{named}，而非{part}；请核实是否应进行此项分析。"
    ),
    "What was marked looks unlike {form} ({reasons}): look at the segmentation before using any value.": (
        "所勾画的区域形态不似{form}（{reasons}）；使用任何数值前请先核对分割结果。"
    ),
    "{what} of {volume} cm³ is unusual for {patient} ({low} to {high} cm³): look at the segmentation before using the value.": (
        "{structure}为{volume} cm³，对{patient}而言少见（常见范围{low}～{high} cm³）；使用该数值前请先核对分割结果。"
    ),
    "Image {number} was left out: {reasons}.": "第{number}幅图像未予采用：{reasons}。",
    "Image {number} looks unlike a {view} ({reasons}): look at it before using the answer.": (
        "第{number}幅图像不似{view}（{reasons}）；采用结论前请先查看该图像。"
    ),
    "Segment {labels} reaches the {border} border of the images: what lies beyond is not measured, and the true volume is this or more.": (
        "{structures}的分割区域达到图像{border}边界：边界以外的部分未测量，实际体积不小于所给数值。"
    ),
    "Segments {labels} reach the {border} border of the images: what lies beyond is not measured, and the true volume is this or more.": (
        "{structures}的分割区域均达到图像{border}边界：边界以外的部分未测量，实际体积不小于所给数值。"
    ),
    "a brain": "脑",
    "lungs": "肺",
    "head": "头部",
    "chest": "胸部",
    "hippocampus": "海马区",
    "frontal radiograph of the chest": "胸部正位片",
    "a volume of both lungs": "双肺总体积",
    "an intracranial volume": "颅内容积",
    "a hippocampus": "海马体积",
    "both thalami": "双侧丘脑总体积",
    "a patient of unknown age": "年龄不详的患者",
    "a patient of {years} years": "{years}岁的患者",
    "a patient below one year": "不满1岁的患者",
    "lower": "下",
    "upper": "上",
    "front": "前",
    "back": "后",
    "right": "右",
    "left": "左",
    "next to nothing was marked": "几乎未勾画任何区域",
    "it meets {number} of the six borders of the images": "触及图像六个边界中的{number}个",
    "{share} % of it have no counterpart on the other side": "有{share} %在对侧无对应部分",
    "it is {share} % as wide as long": "左右径为前后径的{share} %",
    "its lower part does not lie behind its upper one": "其下部不在上部的后方",
    "it is {share} % as high as long": "上下径为前后径的{share} %",
    "its front and its back are not those of a head": "前后端形态不符合头部",
    "its form is ragged": "轮廓不规整",
    "{share} % of it are as dark as air": "有{share} %的信号低如空气",
    "neighbouring voxels have exactly one value, as in a drawing or a map of labels": "相邻体素数值完全相同，如同绘图或标签图",
    "beside it lies something else, {share} % as large": "其旁另有他物，大小为其{share} %",
    "two neighbouring slices differ {times} times as much as others: some are missing": "两幅相邻图像的差异为其他的{times}倍：其间有缺失",
    "water, grey and white matter in it are not dark and bright as on T1": "其中脑脊液、灰质与白质的明暗关系与T1加权像不符",
    "its mean is {mean} HU": "平均CT值为{mean} HU",
    "{share} % of it are free gas": "有{share} %为游离气体",
    "its values differ by {deviation} HU only: no vessels run through it": "CT值离散度仅{deviation} HU，其内无血管走行",
    "it is {wide} mm wide": "左右径达{wide} mm",
    "it is in colour, or even": "为彩色图像，或灰度均一",
    "it looks like one that is upside down": "似为上下颠倒的图像",
    "it looks like one that lies on its side": "似为横置的图像",
    "it looks like the negative of one": "似为其负像",
    "it looks like a part of one": "似仅为其一部分",
    "its distance from known chests is {distance}, at most {most} as a rule": "与已知胸片的差异度为{distance}，一般不超过{most}",
    # what applications say of their own
    **REMARKS,
}
"""By the template in English. Names of programs, data sets and guidelines stay as their owners write them."""


def in_chinese(text: str) -> str | None:
    """A sentence of hilum's in Chinese; None of what is no such sentence, or of one that an earlier release kept as text alone."""
    if not isinstance(text, Translatable):
        return None
    if text.template == LABEL:
        label, what, laterality = (text.values[name] for name in ("label", "what", "laterality"))
        assert isinstance(label, str)
        assert isinstance(what, Code)
        return structure(label, what, laterality if isinstance(laterality, Code) else None)
    template = SENTENCES.get(text.template)
    if template is None:
        return None
    said = {name: _value(value) for name, value in text.values.items()}
    return template.format(**said, because=because(said.get("code", "")))


def _value(value: Value) -> str:
    if isinstance(value, Code):
        return chinese(value.value, value.scheme) or f"{value.meaning}[{value.value} {value.scheme}]"
    if isinstance(value, tuple):
        labels = all(one.template == LABEL for one in value)
        return ("、" if labels else "；").join(in_chinese(one) or one for one in value)
    return in_chinese(value) or value
